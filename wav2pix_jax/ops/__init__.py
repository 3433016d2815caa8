"""Convolutions and matrix products in the form that each platform runs fastest."""

from wav2pix_jax.ops.conv import (
  conv_4x4_stride_2,
  conv_4x4_to_point,
  conv_15_stride_4,
  conv_same,
  conv_transpose_4x4_from_point,
  conv_transpose_4x4_stride_2,
  product,
)
