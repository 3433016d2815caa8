"""Training examples: decoded records, the plan of batches, gathering and augmentation."""

from wav2pix_jax.data.feed import Feed
from wav2pix_jax.data.records import (
  Records,
  centred_start,
  check,
  everyone,
  genders,
  held_out_split,
  identity_names,
  load,
  prepare,
)
