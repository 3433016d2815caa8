"""The mode `export`: the generator of a workdir, for use without this package."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from wav2pix_jax.common.files import write_whole
from wav2pix_jax.runtime import checkpoint, pretrained, run_config
from wav2pix_jax.weights import onnx_graph, pytorch_names, tensor_files

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
USAGE = """  from jax import export
  sample = export.deserialize(open("{out}/generator.stablehlo", "rb").read()).call
  faces = sample(speech, seeds)  # float32 [B, T] at 16 kHz, uint32 [B] -> uint8 [B, S, S, 3]"""


def export(workdir: Path, out: Path) -> None:
  """Writes programs that sample, weights for others, and both networks by the release's names.

  All are of the best checkpoint; the generator has the averaged weights where there are any. Into
  `out` go:

  - `generator.stablehlo`, StableHLO with the weights, serialised by `jax.export`, of a function
    (speech, seeds) -> faces: speech float32 [B, T], 16 kHz mono, at any level; seeds uint32 [B],
    one for each face; faces uint8 [B, S, S, 3]. It conditions the speech itself; B may be any.
  - `generator.onnx`, the same for ONNX runtimes, see `onnx_graph.onnx_bytes`.
  - `generator.safetensors` and `discriminator.safetensors`, with the release's names and axes and
    everything that PyTorch needs, with the config and the speakers' names as text, which
    `--mode=import` reads. Weights that come without their run have no discriminator.
  - `weights/`, small weights to give away, which all modes that read a workdir take as `--workdir`.

  Generators with another speech encoder than the paper's, with noise, or with a classifier of one
  layer, have no names in the release.

  Raises:
    UserError: There is no such run, or the directory cannot be written.
  """
  run = checkpoint.load(workdir)
  exported = export_sampler(run, PLATFORMS)
  write_whole(out / "generator.stablehlo", bytes(exported.serialize()))
  pretrained.write(out / "weights", run.config, run.speakers, run.variables, run.step)
  graph = onnx_graph.onnx_bytes(run.config, run.speakers, run.networks.generator, run.variables)
  write_whole(out / "generator.onnx", graph)
  if pytorch_names.has_names(run.networks.generator):
    _export_for_pytorch(run, out)
  else:
    model = run.config.model
    print(
      "The release has no such generator, so there are no weights for PyTorch (model.encoder is "
      f"{model.encoder!r}, model.noise {model.noise}, model.classifier_hidden "
      f"{model.classifier_hidden})."
    )
  print(f"Exported step {run.step} of {workdir} to {out}; sample with\n{USAGE.format(out=out)}")


def _export_for_pytorch(run: checkpoint.Run, out: Path) -> None:
  """Writes weights by the release's names."""
  networks, variables = run.networks, run.variables
  about = {"config": run_config.as_dict(run.config), run_config.SPEAKERS: run.speakers}
  text = {run_config.EXPORTED: json.dumps(about)}
  state_dicts = {"generator": pytorch_names.generator_dict(networks.generator, variables)}
  if run.state:
    state_dicts["discriminator"] = pytorch_names.discriminator_dict(
      networks.discriminator, run.state.discriminator.variables
    )
  for name, tensors in state_dicts.items():
    write_whole(out / f"{name}.safetensors", tensor_files.safetensors_bytes(tensors, text))


def export_sampler(run: checkpoint.Run, platforms: tuple[str, ...]) -> jax_export.Exported:
  """Returns the program (speech, seeds) -> faces of a run, for any number of faces."""
  sample = run.sampler.function()

  def face(speech: Any, seed: Any) -> jax.Array:
    return sample(speech, jax.random.key(seed))[0]

  (count,) = jax_export.symbolic_shape("B")
  return jax_export.export(jax.jit(jax.vmap(face)), platforms=platforms)(
    jax.ShapeDtypeStruct((count, run.config.dataset.window_samples), jnp.float32),
    jax.ShapeDtypeStruct((count,), jnp.uint32),
  )
