"""What is written of a run arrives: scalars, images and text, in each of the places."""

import sys

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.configs import base
from wav2pix_jax.runtime import metric_writer

VALUES = {
  "g_loss/l1": 0.5,
  "held_out/grid": np.full((8, 12, 3), [200, 10, 30], np.uint8),
  "devices": "cpu: cpu",
}


def _config(*names):
  config = base.get_config()
  config.metric_writers = names
  return config


def _events(workdir):
  """Returns the events of the one file."""
  (path,) = (workdir / "tensorboard").iterdir()
  found, content = [], path.read_bytes()
  while content:
    size = int.from_bytes(content[:8], "little")
    found.append(event_pb2.Event.FromString(content[12 : 12 + size]))
    content = content[size + 16 :]
  return found


def test_tensorboard_gets_scalars_images_and_text_at_once(tmp_path):
  (writer,) = metric_writer.open_writers(tmp_path, _config("tensorboard"), 4)
  writer.write(7, VALUES)
  *_, started, scalar, image, text = _events(tmp_path)  # before it is closed
  assert started.session_log.status == event_pb2.SessionLog.START
  assert started.step == 5  # what an earlier start wrote from here on is discarded
  assert {event.step for event in (scalar, image, text)} == {7}
  ((scalar,), (image,), (text,)) = (event.summary.value for event in (scalar, image, text))
  assert (scalar.tag, scalar.simple_value) == ("g_loss/l1", 0.5)
  assert (image.tag, image.image.height, image.image.width) == ("held_out/grid", 8, 12)
  (tmp_path / "grid.png").write_bytes(image.image.encoded_image_string)
  with Image.open(tmp_path / "grid.png") as picture:
    assert np.array_equal(np.asarray(picture.convert("RGB")), VALUES["held_out/grid"])
  assert "devices" in text.tag
  assert text.tensor.string_val == [b"cpu: cpu"]
  writer.close()


def test_a_new_start_writes_a_file_of_its_own(tmp_path):
  for start in (0, 3):
    (writer,) = metric_writer.open_writers(tmp_path, _config("tensorboard"), start)
    writer.write(start + 1, {"x": 1.0})
    writer.close()
    (tmp_path / "tensorboard").rename(tmp_path / f"start_{start}")
  assert len(list(tmp_path.glob("start_*"))) == 2


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / "tensorboard").touch()
  with pytest.raises(UserError, match="tensorboard: cannot be written"):
    metric_writer.open_writers(tmp_path, _config("tensorboard"), 0)


def test_writers_that_do_not_exist_are_named():
  with pytest.raises(UserError, match="metric_writers has 'paper'; choose from tensorboard, wandb"):
    metric_writer.check(_config("tensorboard", "paper"))
  metric_writer.check(_config("tensorboard", "wandb"))
  assert metric_writer.open_writers("nowhere", _config(), 0) == []


def test_without_wandb_it_is_one_line(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "wandb", None)
  with pytest.raises(UserError, match=r"wandb is not installed; pip install -e '\.\[wandb\]'"):
    metric_writer.open_writers(tmp_path, _config("wandb"), 0)


@pytest.mark.slow
def test_wandb_gets_the_same_and_the_config(tmp_path, monkeypatch):
  pytest.importorskip("wandb", reason="Weights & Biases is not installed; it is the extra wandb")
  monkeypatch.setenv("WANDB_MODE", "offline")
  monkeypatch.setenv("WANDB_SILENT", "true")
  config = _config("wandb")
  (writer,) = metric_writer.open_writers(tmp_path, config, 0)
  writer.write(3, VALUES)
  writer.write(5, {"g_loss/l1": 0.25})
  assert dict(writer._run.config)["loss"]["l1"] == config.loss.l1
  writer.write(6, {"other": 1.0})  # with the next step the one before is whole
  written = dict(writer._run.summary)
  writer.close()
  (folder,) = (tmp_path / "wandb").glob("offline-run-*")
  assert written["g_loss/l1"] == 0.25
  assert written["devices"] == "cpu: cpu"
  assert (written["held_out/grid"]["height"], written["held_out/grid"]["width"]) == (8, 12)
  assert written["_step"] >= 5
  assert list(folder.glob("run-*.wandb"))
  (picture,) = folder.rglob("*.png")
  with Image.open(picture) as saved:
    assert np.array_equal(np.asarray(saved.convert("RGB")), VALUES["held_out/grid"])
