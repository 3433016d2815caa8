"""Wav2Pix in JAX: a network that generates a speaker's face from one second of raw speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wav2pix_jax.common.version import __version__

if TYPE_CHECKING:
  import os

  from wav2pix_jax.sampler import Sampler


def load(workdir: str | os.PathLike[str] | None = None) -> Sampler:
  """Loads the sampler of a run: its best checkpoint, or its latest where none was compared.

  Args:
    workdir: The run's directory.

  Raises:
    wav2pix_jax.common.errors.UserError: There is no run with a checkpoint that can be read.
  """
  from wav2pix_jax.runtime import checkpoint

  return checkpoint.load_sampler(workdir)
