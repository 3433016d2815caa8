"""Batches as training takes them: the same wherever they are gathered, from any step on."""

import jax
import numpy as np
import pytest

from wav2pix_jax import data
from wav2pix_jax.common import schema
from wav2pix_jax.runtime import distributed


@pytest.fixture
def records(clean, config):
  return data.load(clean, "train", config.image_size)


def _made(records, config, on_device, count=3, **more):
  """Returns the first batches that the step would get."""
  config.dataset.on_device = on_device
  feed = data.Feed(records, config)
  assert bool(feed.resident) == on_device
  batches = feed.batches(8, **more)
  batch = jax.jit(feed.batch)
  return [jax.device_get(batch(next(batches), feed.resident)) for _ in range(count)]


def _assert_same(one, other):
  for a, b in zip(one, other, strict=True):
    assert a.keys() == b.keys()
    for name, x in a.items():
      np.testing.assert_array_equal(x, b[name], err_msg=name)


@pytest.mark.parametrize("distort", [True, False])
@pytest.mark.parametrize("window_offset", ["uniform", "centred"])
def test_batches_are_equal_to_the_bit_wherever_they_are_gathered(
  records, config, window_offset, distort
):
  config.dataset.window_offset, config.dataset.distort = window_offset, distort
  config.dataset.flip = True
  host, device = (_made(records, config, on_device) for on_device in (False, True))
  _assert_same(host, device)


@pytest.mark.parametrize("on_device", [True, False])
def test_they_go_on_from_any_step(records, config, on_device):
  _assert_same(
    _made(records, config, on_device, 6)[4:], _made(records, config, on_device, 2, start=4)
  )


@pytest.mark.parametrize("on_device", [True, False])
def test_devices_share_the_batch_that_one_would_get(records, config, on_device):
  (whole,) = _made(records, config, on_device, 1)
  feed = data.Feed(records, config)
  shared = jax.pmap(feed.batch, axis_name=distributed.AXIS, in_axes=(0, None))(
    distributed.shard(next(feed.batches(8))), feed.resident
  )
  for name, x in whole.items():
    np.testing.assert_allclose(np.reshape(shared[name], x.shape), x, atol=1e-5, err_msg=name)


def test_windows_come_from_the_speech_of_their_face(records, config):
  """Each example's window is found in its record's speech, once."""
  config.dataset.window_offset, config.dataset.distort = "uniform", False
  config.dataset.audio_steps = ()
  (batch,) = _made(records, config, False, 1)
  faces = records.faces.astype(np.float32) / 127.5 - 1
  for speech, face in zip(batch[schema.SPEECH], batch[schema.FACE], strict=True):
    (i,) = [i for i in range(len(records)) if np.allclose(faces[i], face, atol=1e-6)]
    clip = records.speech_of(i)
    loud = int(np.abs(speech).argmax())
    places = np.flatnonzero(clip == speech[loud]) - loud
    found = [s for s in places if s >= 0 and np.array_equal(clip[s : s + 16_000], speech)]
    assert len(found) == 1
