"""The PyTorch release's checkpoints: the functions that other code may rely on."""

from wav2pix_jax.weights.pytorch_names import (
  evaluate_imported,
  import_discriminator,
  import_generator,
)

__all__ = ["evaluate_imported", "import_discriminator", "import_generator"]
