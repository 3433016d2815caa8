"""The demo page on Hugging Face Spaces: the same as `wav2pix --mode=demo`."""

import os

from wav2pix_jax.demo import demo
from wav2pix_jax.runtime.pretrained import SHIPPED

demo(SHIPPED, os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0"), 7860)
