"""The command line, as `python main.py --help`; once installed, it is the command `wav2pix`."""

from wav2pix_jax.cli import main

if __name__ == "__main__":
  main()
