"""Faces from a recording, without JAX.

pip install onnxruntime pillow scipy
python examples/sample_onnx.py export/generator.onnx speech.wav    # 16-bit WAV, 16 kHz, mono
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image
from scipy.io import wavfile

session = onnxruntime.InferenceSession(sys.argv[1])
(_, length), (_, noise_size) = (given.shape for given in session.get_inputs())
rate, speech = wavfile.read(sys.argv[2])
if rate != 16_000 or speech.ndim != 1:
  sys.exit("the recording must have 16 kHz and one channel")
windows = speech[: len(speech) // length * length].reshape(-1, length).astype(np.float32)
noise = np.random.default_rng(0).uniform(size=(1, noise_size)).astype(np.float32)  # one look
noise = np.tile(noise, (len(windows), 1))
(faces,) = session.run(["faces"], {"speech": windows, "noise": noise})
for second, face in enumerate(faces):
  Image.fromarray(face).save(f"face_{second}.png")
