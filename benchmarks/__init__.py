"""Performance, measured: each a command, `python -m benchmarks.NAME --help`."""
