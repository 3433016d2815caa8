"""Weights come from and go to where people have them, and draw the same faces everywhere."""

import json
import pickle
import subprocess
import sys
import types

import conftest
import jax
import numpy as np
import parity_formula
import pytest
import safetensors.numpy

from wav2pix_jax import models, sample, train
from wav2pix_jax.common import audio
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import release as release_config
from wav2pix_jax.models.log_mel_encoder import LAYERS
from wav2pix_jax.runtime import checkpoint, pretrained, run_config
from wav2pix_jax.train_state import create_state
from wav2pix_jax.weights import pytorch_names, tensor_files
from wav2pix_jax.weights.export import export, export_sampler
from wav2pix_jax.weights.import_weights import import_weights

SPEECH = np.random.default_rng(0).standard_normal((3, 16_000)).astype("f4")
SEEDS = np.arange(3, dtype="u4")


@pytest.fixture(scope="module")
def published():
  """A release checkpoint at 64 px: tensors of G and of D."""
  _, *tensors = parity_formula.load(64)
  return [{name: np.asarray(x, np.float32) for name, x in part.items()} for part in tensors]


def _small_release(config, identities=10):
  """State dicts as the release would write them, of networks that train in seconds."""
  nets = models.build(config, identities)
  rng = np.random.default_rng(0)
  state = jax.tree.map(
    lambda leaf: rng.uniform(0, 0.1, leaf.shape).astype("f4"),
    jax.eval_shape(lambda: create_state(config, nets, jax.random.key(0))),
  )
  return _state_dicts(nets, state)


def _state_dicts(nets, state):
  return (
    pytorch_names.generator_dict(nets.generator, state.generator.variables),
    pytorch_names.discriminator_dict(nets.discriminator, state.discriminator.variables),
  )


@pytest.fixture
def small_config(released, data_dir):
  config = release_config.get_config()
  config.update_from_flattened_dict(conftest.TINY)
  config.num_steps = config.eval_every = config.save_every = 2
  config.dataset.source, config.dataset.data_dir = str(released.folder), str(data_dir)
  return config


@pytest.fixture
def base_run(trained):
  """A workdir with averaged weights that differ from the last."""
  return trained[0]


@pytest.fixture(scope="module")
def paper_encoder_run(released, data_dir, tmp_path_factory):
  """The same of a run whose encoder is the paper's, so that the release has names for it."""
  workdir = tmp_path_factory.mktemp("paper_encoder")
  fields = {"model.encoder": "waveform", "loss.matching": 1.0}
  conftest.main(*conftest.training_flags(workdir, released.folder, data_dir, **fields))
  return workdir


def _save_npz(path, tensors):
  np.savez(path, **tensors)


def _save_safetensors(path, tensors):
  safetensors.numpy.save_file(tensors, path)


def _save_pth(path, tensors):
  torch = pytest.importorskip("torch", reason="reading .pth takes PyTorch, which is not installed")
  torch.save({f"module.{name}": torch.from_numpy(x) for name, x in tensors.items()}, path)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("ending", "save"), [("npz", _save_npz), ("safetensors", _save_safetensors), ("pth", _save_pth)]
)
def test_a_published_checkpoint_is_imported_and_exported_unchanged(
  published, tmp_path, ending, save
):
  paths = [tmp_path / f"{name}.{ending}" for name in "gd"]
  for path, tensors in zip(paths, published, strict=True):
    save(path, {name: np.ascontiguousarray(x) for name, x in tensors.items()})
  import_weights(*paths, tmp_path / "run", release_config.get_config())
  run = checkpoint.load(tmp_path / "run")
  assert run.speakers == [str(i) for i in range(10)]
  assert (run.config.image_size, run.config.dataset.window_samples) == (64, 16_000)
  assert run.step == 0
  for moment in jax.tree.leaves(run.state.generator.opt_state):
    assert not np.any(moment)  # fresh
  out = _state_dicts(run.networks, run.state)
  for theirs, ours in zip(published, out, strict=True):
    assert theirs.keys() == ours.keys()
    for name, tensor in theirs.items():
      np.testing.assert_allclose(ours[name], tensor, atol=1e-6 if "weight_v" in name else 0)


def test_pth_never_unpickles_more_than_tensors(published, tmp_path, monkeypatch):
  """Whatever PyTorch is installed, or none: how it is called."""
  calls = []

  def load(path, **options):
    calls.append(options)
    return {"module.x": types.SimpleNamespace(numpy=lambda: np.ones(2))}

  monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
  (tmp_path / "g.pth").touch()
  tensors, _ = tensor_files.read(tmp_path / "g.pth")
  assert list(tensors) == ["x"]
  assert calls == [{"map_location": "cpu", "weights_only": True}]

  def refuse(path, **options):
    raise pickle.UnpicklingError("Weights only load failed: pass weights_only=False")

  monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=refuse))
  with pytest.raises(UserError, match="contains more than tensors"):
    tensor_files.read(tmp_path / "g.pth")
  monkeypatch.setitem(sys.modules, "torch", None)
  with pytest.raises(UserError, match="PyTorch is needed"):
    tensor_files.read(tmp_path / "g.pth")


@pytest.mark.parametrize(
  ("name", "content", "words"),
  [
    ("g.bin", b"", "unsupported file extension"),
    ("g.npz", b"PK nothing", "cannot be read"),
    ("g.safetensors", b"\xff" * 20, "cannot be read"),
    ("missing.npz", None, "no such file"),
  ],
)
def test_files_that_are_none(tmp_path, name, content, words):
  if content is not None:
    (tmp_path / name).write_bytes(content)
  with pytest.raises(UserError, match=words) as error:
    tensor_files.read(tmp_path / name)
  assert "\n" not in str(error.value)


def test_missing_wrong_and_unknown_tensors_are_listed(published):
  for reader in (pytorch_names.import_generator, pytorch_names.import_discriminator):
    with pytest.raises(UserError, match=r"lacks .*and \d+ more|lacks net"):
      reader({})
  generator, discriminator = dict(published[0]), dict(published[1])
  few = {name: x for name, x in generator.items() if "netG" not in name or "netG.0." in name}
  assert pytorch_names.config_fields(few, discriminator)["image_size"] == 8
  with pytest.raises(UserError, match=r"lacks netG\.3\.0\.module\.weight_bar"):
    pytorch_names.import_generator(few)
  del generator["audio_embedding.fc.2.bias"], generator["aux_classifier.net.1.running_var"]
  generator["netG.3.6.module.weight_u"] = np.ones(7)
  generator["netG.4.weight"] = np.ones(1)
  with pytest.raises(UserError) as error:
    pytorch_names.import_generator(generator)
  for words in (
    "lacks audio_embedding.fc.2.bias, aux_classifier.net.1.running_var",
    "wrong shapes: netG.3.6.module.weight_u (7,) instead of (128,)",
    "unknown netG.4.weight",
  ):
    assert words in str(error.value)
  del discriminator["netD_2.weight"]
  with pytest.raises(UserError, match=r"lacks netD_2\.weight"):
    pytorch_names.import_discriminator(discriminator)


@pytest.mark.slow
def test_networks_of_two_sizes_do_not_go_together(published, tmp_path):
  _, large, _ = parity_formula.load(128)
  np.savez(tmp_path / "g.npz", **large)
  np.savez(tmp_path / "d.npz", **published[1])
  with pytest.raises(UserError, match="the discriminator's checkpoint lacks"):
    import_weights(
      tmp_path / "g.npz", tmp_path / "d.npz", tmp_path / "run", release_config.get_config()
    )
  assert not (tmp_path / "run").exists()


@pytest.mark.extra
def test_an_imported_workdir_samples_and_trains_on(small_config, tmp_path, capsys):
  paths = [tmp_path / "g.npz", tmp_path / "d.npz"]
  for path, tensors in zip(paths, _small_release(small_config), strict=True):
    np.savez(path, **tensors)
  workdir = tmp_path / "run"
  import_weights(*paths, workdir, release_config.get_config())
  audio.write_wav(tmp_path / "a.wav", (SPEECH[0] * 5000).astype(np.int16))
  sample.sample(workdir, tmp_path / "a.wav", 1, 0, tmp_path / "faces")
  assert (tmp_path / "faces" / "a_grid.png").exists()
  train.train(small_config, workdir)
  assert "Resuming from step 0" in capsys.readouterr().out
  run = checkpoint.load(workdir)
  assert run.step == 2
  assert run.speakers == ["ada", "bo", *map(str, range(2, 10))]
  with pytest.raises(UserError, match="contains a run already"):
    import_weights(*paths, workdir, release_config.get_config())


@pytest.mark.slow
def test_an_export_is_imported_with_its_config_and_names(paper_encoder_run, tmp_path):
  """Also of networks that differ from the release's; what is drawn with stays.

  The face encoder, which no export has, is new.
  """
  export(paper_encoder_run, tmp_path / "out")
  files = [tmp_path / "out" / f"{name}.safetensors" for name in ("generator", "discriminator")]
  import_weights(*files, tmp_path / "again", release_config.get_config())
  before, after = checkpoint.load(paper_encoder_run), checkpoint.load(tmp_path / "again")
  assert after.speakers == before.speakers
  assert run_config.as_dict(after.config) == run_config.as_dict(before.config)
  assert not np.array_equal(
    before.state.ema["params"]["upsampler"]["rgb"]["kernel"],
    before.state.generator.params["upsampler"]["rgb"]["kernel"],
  )
  jax.tree.map(np.testing.assert_array_equal, before.state.ema, after.state.generator.variables)
  jax.tree.map(
    np.testing.assert_array_equal,
    before.state.discriminator.variables,
    after.state.discriminator.variables,
  )
  assert after.state.face_encoder


@pytest.mark.parametrize("field", ["noise", "encoder"])
def test_an_export_of_an_earlier_version_is_imported(small_config, tmp_path, field):
  """Its config lacks the fields that came later, and was as their values say."""
  config = json.loads(small_config.to_json())
  del config["model"][field]
  text = {"wav2pix_jax": json.dumps({"config": config, "identity_names": ["ada", "bo"]})}
  paths = [tmp_path / f"{name}.safetensors" for name in "gd"]
  for path, tensors in zip(paths, _small_release(small_config, 2), strict=True):
    path.write_bytes(tensor_files.safetensors_bytes(tensors, text))
  import_weights(*paths, tmp_path / "run", release_config.get_config())
  assert checkpoint.load(tmp_path / "run").config.model[field] == small_config.model[field]


@pytest.mark.parametrize("change", [{"noise": 4}, {"classifier_hidden": 0}])
def test_a_generator_that_the_release_lacks_has_no_names(small_config, change):
  assert pytorch_names.has_names(models.build(small_config, 2).generator)
  small_config.model.update(change)
  assert not pytorch_names.has_names(models.build(small_config, 2).generator)


FRESH = """
import sys
import numpy as np
from jax import export
draw = export.deserialize(open(sys.argv[1], "rb").read()).call
arrays = np.load(sys.argv[2])
together = np.asarray(draw(arrays["speech"], arrays["seeds"]))
alone = np.concatenate(
  [draw(arrays["speech"][i : i + 1], arrays["seeds"][i : i + 1]) for i in range(3)]
)
np.savez(sys.argv[3], together=together, alone=alone)
foreign = {"wav2pix_jax", "flax", "optax", "orbax", "ml_collections", "configs"} & set(sys.modules)
assert not foreign, foreign
"""


@pytest.mark.slow
def test_the_artefact_draws_the_same_faces_without_this_package(base_run, tmp_path):
  export(base_run, tmp_path / "out")
  np.savez(tmp_path / "in.npz", speech=SPEECH, seeds=SEEDS)
  artefact = tmp_path / "out" / "generator.stablehlo"
  arguments = [artefact, tmp_path / "in.npz", tmp_path / "faces.npz"]
  subprocess.run([sys.executable, "-I", "-c", FRESH, *arguments], cwd=tmp_path, check=True)
  drawn = np.load(tmp_path / "faces.npz")
  run = checkpoint.load(base_run)
  expected, _ = run.sampler.sample(SPEECH, jax.vmap(jax.random.key)(SEEDS))
  for faces in drawn.values():
    assert faces.dtype == np.uint8
    assert np.abs(faces.astype(int) - expected).max() <= 1
  assert len({face.tobytes() for face in expected}) == 3


@pytest.mark.slow
def test_what_is_given_away_draws_the_same_faces_and_is_exported_again(base_run, tmp_path):
  export(base_run, tmp_path / "out")
  given = tmp_path / "out" / "weights"
  run, alone = checkpoint.load(base_run), checkpoint.load(given)
  assert (alone.step, alone.speakers, alone.state) == (run.step, run.speakers, None)
  faces = [sampler.draw(SPEECH[0] / 8, 16_000, 20) for sampler in (run.sampler, alone.sampler)]
  assert np.abs(faces[0].astype(int) - faces[1]).max() <= 1
  assert "data_dir" in alone.config.dataset
  assert str(run.config.dataset.data_dir) not in (given / "config.json").read_text()
  export(given, tmp_path / "again")
  again = tmp_path / "again"
  assert not (again / "discriminator.safetensors").exists()
  assert (again / "weights" / pretrained.WEIGHTS).read_bytes() == (
    given / pretrained.WEIGHTS
  ).read_bytes()


@pytest.mark.slow
def test_weights_that_are_damaged_or_of_another_network(base_run, tmp_path):
  run = checkpoint.load(base_run)
  path = tmp_path / pretrained.WEIGHTS
  pretrained.write(tmp_path, run.config, run.speakers, run.variables, run.step)
  whole = path.read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(UserError, match=r"generator\.safetensors: damaged .*; copy it anew"):
    checkpoint.load(tmp_path)
  config = run.config.copy_and_resolve_references()
  config.model.generator_width = 16
  (tmp_path / "config.json").unlink()
  pretrained.write(tmp_path, config, run.speakers, run.variables, run.step)
  with pytest.raises(UserError, match=r"another network .* is \(16,\), not \(32,\)"):
    checkpoint.load(tmp_path)


@pytest.mark.slow
def test_the_text_beside_exported_tensors(paper_encoder_run, tmp_path):
  export(paper_encoder_run, tmp_path)
  _, text = tensor_files.read(tmp_path / "generator.safetensors")
  carried = json.loads(text["wav2pix_jax"])
  assert carried["identity_names"] == ["ada", "bo"]
  assert carried["config"]["image_size"] == 16


@pytest.mark.parametrize("text", ["whatever", "[]", '{"config": {"model": {}}}'])
def test_a_config_of_another_version_is_named(published, tmp_path, text):
  paths = [tmp_path / f"{name}.safetensors" for name in "gd"]
  for path, tensors in zip(paths, published, strict=True):
    path.write_bytes(tensor_files.safetensors_bytes(tensors, {"wav2pix_jax": text}))
  with pytest.raises(UserError, match="not one of this version") as error:
    import_weights(*paths, tmp_path / "run", release_config.get_config())
  assert "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("window", pytorch_names.WINDOWS)
def test_the_window_is_read_off_the_encoder(small_config, window):
  small_config.dataset.window_samples = window
  fields = pytorch_names.config_fields(*_small_release(small_config))
  assert fields["dataset.window_samples"] == window
  assert fields["image_size"] == 16


@pytest.mark.slow
def test_what_is_exported_has_convolutions_for_accelerators_and_none_for_cpus(trained):
  """Though it is traced on a CPU, once for all platforms."""
  run = checkpoint.load(trained[0])
  counts = {}
  for platform in ("cpu", "cuda", "tpu"):
    text = str(export_sampler(run, (platform,)).mlir_module())
    counts[platform] = text.count("stablehlo.convolution")
  layers = len(LAYERS) + 2  # strided ones of the upsampler: to 8, 16 px
  assert counts == {"cpu": 0, "cuda": layers, "tpu": layers}
