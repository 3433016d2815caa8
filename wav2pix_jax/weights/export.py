"""Exporting: the generator of a workdir, to be used without this package."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from wav2pix_jax import sampler
from wav2pix_jax.common import audio, images
from wav2pix_jax.common.files import write_whole
from wav2pix_jax.runtime import checkpoint, run_config
from wav2pix_jax.weights import pytorch_names, tensor_files

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export(workdir: Path, out: Path) -> None:
  """Writes what draws, and both networks under the release's names, from the best checkpoint.

  `generator.stablehlo`: StableHLO, weights included, as `jax.export` serialises it, for a function
  (speech, seeds) -> faces: 16 kHz mono, float32 [B, T], at any loudness; uint32 [B], a seed for
  each face; uint8 [B, S, S, 3]. It conditions the speech itself, and B may be any.

  `generator.safetensors`, `discriminator.safetensors`: the release's names and axes, complete as
  PyTorch wants them, with config and speakers' names as text, which `--mode=import` reads. The
  generator is the averaged one where there is one.

  Args:
    workdir: of a run with a checkpoint.
    out: folder; made where it is missing.

  Raises:
    UserError: no such run, or the folder cannot be written.
  """
  run = checkpoint.load(workdir)
  config, generator = run.config, run.nets.generator
  variables = jax.device_get(run.state.drawing)

  def draw(speech: Any, seed: Any) -> Any:
    window: Any = audio.condition(speech, config.dataset.audio_steps)
    face: Any
    face, _ = sampler.draw_one(generator, variables, window, jax.random.key(seed))
    return images.to_uint8(face)

  (count,) = jax_export.symbolic_shape("B")
  exported = jax_export.export(jax.jit(jax.vmap(draw)), platforms=PLATFORMS)(
    jax.ShapeDtypeStruct((count, config.dataset.window_samples), jnp.float32),
    jax.ShapeDtypeStruct((count,), jnp.uint32),
  )
  write_whole(out / "generator.stablehlo", bytes(exported.serialize()))
  carried = {"config": run_config.as_dict(config), run_config.IDENTITIES: run.identities}
  text = {run_config.EXPORTED: json.dumps(carried)}
  state_dicts = pytorch_names.state_dicts(run.nets, variables, run.state.discriminator.variables)
  for name, tensors in zip(("generator", "discriminator"), state_dicts, strict=True):
    write_whole(out / f"{name}.safetensors", tensor_files.safetensors_bytes(tensors, text))
  print(
    f"Exported step {int(run.state.step)} of {workdir} to {out}; draw with\n{USAGE.format(out=out)}"
  )


USAGE = """  from jax import export
  draw = export.deserialize(open("{out}/generator.stablehlo", "rb").read()).call
  faces = draw(speech, seeds)  # float32 [B, T] at 16 kHz, uint32 [B] -> uint8 [B, S, S, 3]"""
