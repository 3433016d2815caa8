"""The version of the package, which workdirs record."""

__version__ = "0.2.0"
