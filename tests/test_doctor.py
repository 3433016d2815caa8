"""The doctor: what is planted is found with its remedy, and a healthy machine needs no look."""

import dataclasses
import errno
import fcntl
import os
import shutil

import conftest
import jax
import numpy as np
import pytest

from data_builders.synthetic import clips, identity
from wav2pix_jax import doctor
from wav2pix_jax.common import dlib_faces, schema
from wav2pix_jax.common.finding import Finding
from wav2pix_jax.data import health
from wav2pix_jax.data.records import Records


def _examined(folder):
  return {finding.what: finding for finding in doctor.examine([folder])}


def _wrong(findings):
  return {what for what, finding in findings.items() if finding.remedy}


def test_a_healthy_machine_needs_no_look():
  said = conftest.main("--mode=doctor").stdout
  assert "Nothing needs a look" in said
  assert all(line[:4] in ("ok  ", "Noth") for line in said.splitlines())
  assert f"jax {jax.__version__}" in said


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_found_and_everything_works_on_it(
  tmp_path, monkeypatch, number
):
  def refuse(*_):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(fcntl, "flock", refuse)
  found = _examined(tmp_path)
  assert _wrong(found) == {"locks"}
  assert ".lock.soft" in found["locks"].remedy


def test_a_folder_that_cannot_be_written_is_found(tmp_path, monkeypatch):
  def refuse(*_, **__):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))

  monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
  found = _examined(tmp_path)
  assert _wrong(found) == {"disk"}
  assert "Read-only file system" in found["disk"].said


def test_too_little_disk_and_memory_are_found(tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
  monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
  monkeypatch.setattr(doctor, "_available", lambda: 10**9)
  assert _wrong(_examined(tmp_path)) == {"disk", "memory"}


def test_wheels_that_compute_nothing_or_something_else_are_found(tmp_path, monkeypatch):
  def fails(*_):
    raise RuntimeError("no kernel image is available for execution on the device\nmore")

  monkeypatch.setattr(jax, "jit", lambda _: fails)
  found = _examined(tmp_path)
  assert _wrong(found) == {"computing"}
  assert "JAX fails (no kernel image is available" in found["computing"].said
  monkeypatch.setattr(jax, "jit", lambda function: lambda a, b: 2 * function(a, b))
  assert "differ from NumPy's" in _examined(tmp_path)["computing"].said


def test_versions_that_do_not_fit_are_found(tmp_path, monkeypatch):
  version = doctor._version
  planted = {"flax": "0.1", "optax": "", "jax-cuda13-plugin": "0.2.0"}
  monkeypatch.setattr(doctor, "_version", lambda name: planted.get(name, version(name)))
  found = _examined(tmp_path)
  assert _wrong(found) == {"versions"}
  for words in ("flax 0.1 (needed <0.13,>=0.12)", "optax missing", "jax-cuda13-plugin 0.2.0"):
    assert words in found["versions"].said


def test_no_home_and_no_dlib(tmp_path, monkeypatch):
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)

  def unavailable():
    raise dlib_faces.UnavailableError("dlib is not installed")

  monkeypatch.setattr(dlib_faces, "describer", unavailable)
  found = _examined(tmp_path)
  assert _wrong(found) == {"compiled"}
  assert "only --mode=evaluate" in found["dlib"].said


def _records(people, count, seed, silent=0, shown=None):
  """Records of synthetic people, `count` each, of utterances from `seed` on."""
  made = [
    clips.make_clip(identity.TEN[who], seed + n, 32, 0)
    for who in range(people)
    for n in range(count)
  ]
  speech = [clip.speech if n >= silent else 0 * clip.speech for n, clip in enumerate(made)]
  faces = np.stack([clip.face for clip in made])
  if shown is not None:
    faces[: len(shown)] = shown
  return Records(
    faces=faces,
    speech=np.concatenate(speech),
    stops=np.cumsum([len(one) for one in speech]),
    identity=np.repeat(np.arange(people), count).astype(np.int32),
    instant=np.array([len(one) // 2 for one in speech], np.int32),
    digest="",
    instant_error=np.zeros(len(speech), np.int32),
  )


PEOPLE = ["ana", "bea"]


@pytest.fixture(scope="module")
def healthy():
  return {schema.TRAIN: _records(2, 6, 0), schema.VALIDATION: _records(2, 2, 10)}


def _looked_at(splits, units=None):
  apart = {name: {i} for i, name in enumerate(splits)}
  found = [
    health._sizes(splits, PEOPLE),
    health._speech(splits, PEOPLE),
    *health._shared(splits, units or apart),
    health._silence(splits, 16_000),
  ]
  return {finding.what: finding for finding in found}


def test_healthy_data_need_no_look(healthy, monkeypatch):
  monkeypatch.setattr(health, "LEAST_MINUTES", 0.1)
  assert not _wrong(_looked_at(healthy))


def test_what_is_wrong_with_data_is_found(healthy, monkeypatch):
  monkeypatch.setattr(health, "LEAST_MINUTES", 0.1)
  train, held_out = healthy.values()
  same_units = _looked_at(healthy, {schema.TRAIN: {1, 2}, schema.VALIDATION: {2}})
  assert _wrong(same_units) == {"units"}
  assert "1 videos or recordings of validation are in train" in same_units["units"].said

  brighter = (train.faces[:2] * 0.9 + 9).astype(np.uint8)
  again = {schema.TRAIN: train, schema.VALIDATION: _records(2, 2, 10, shown=brighter)}
  found = _looked_at(again)
  assert _wrong(found) == {"faces"}
  assert "2 pictures of validation are in train" in found["faces"].said

  own = train.speech_of(3)
  moved = np.concatenate([held_out.speech_of(0), own[5_000:]])
  speech = [moved, *(held_out.speech_of(i) for i in range(1, 4))]
  replaced = dataclasses.replace(
    held_out,
    speech=np.concatenate(speech),
    stops=np.cumsum([len(one) for one in speech]),
  )
  found = _looked_at({schema.TRAIN: train, schema.VALIDATION: replaced})
  assert _wrong(found) == {"recordings"}
  assert "1 records' speech of validation are in train" in found["recordings"].said

  silent = {schema.TRAIN: train, schema.VALIDATION: _records(2, 2, 10, silent=2)}
  found = _looked_at(silent)
  assert _wrong(found) == {"silence"}
  assert "nearly silent 2" in found["silence"].said

  alone = {schema.TRAIN: train, schema.VALIDATION: _records(1, 2, 10)}
  assert "validation has nothing of bea" in _looked_at(alone)["splits"].said
  monkeypatch.setattr(health, "LEAST_MINUTES", 1.0)
  assert _wrong(_looked_at(healthy)) == {"speech"}


def test_a_line_says_whether_to_look():
  assert Finding("disk", "5 GiB").line() == "ok    disk            5 GiB"
  assert Finding("disk", "1 GiB", "make room").line() == "look  disk            1 GiB: make room"
