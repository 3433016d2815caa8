"""Faces from a recording, with JAX: python examples/sample_jax.py speech.wav (16-bit WAV)."""

import sys

from PIL import Image
from scipy.io import wavfile

import wav2pix_jax

sample_rate, speech = wavfile.read(sys.argv[1])
faces = wav2pix_jax.load().draw(speech, sample_rate)
for second, (face,) in enumerate(faces):
  Image.fromarray(face).save(f"face_{second}.png")
