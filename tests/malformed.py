"""Gives every reader of files malformed ones, and counts how each ends.

    python tests/malformed.py

Each input is made from a good one, or by hand: cut, zeroed, with flipped bits, of another type,
with huge sizes in headers, with paths that climb, with odd names. Each is read by a process of its
own, which should end with one clear line or a listed problem: without a traceback, a crash, more
than 30 seconds, more than 4 GiB of memory, or a file outside of its output folder. Prints a table.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import functools
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import av  # noqa: E402
import conftest  # noqa: E402
import films  # noqa: E402
import numpy as np  # noqa: E402
import safetensors.numpy  # noqa: E402
import small_release  # noqa: E402

from wav2pix_jax.common import audio, images, schema  # noqa: E402

SECONDS, MEMORY = 30, 4 * 2**30
EXAMPLE = ROOT / "pretrained" / "ten_speakers_64px" / "examples" / "ana.wav"
SOUNDS = {"wav": "pcm_s16le", "flac": "flac", "mp3": "mp3", "m4a": "aac", "ogg": "libopus"}
FILMS = {"mp4": "mp4", "mkv": "matroska", "ts": "mpegts", "mov": "mov"}
HELD = "held"  # a folder beside the outputs that nothing may touch


@dataclasses.dataclass(frozen=True)
class Case:
  """A malformed input.

  Attributes:
    kind: what reads it.
    name: what is wrong with it.
    make: writes it into a folder, and returns the arguments of the command that reads it. The
      command may write into the folder's `out` alone.
  """

  kind: str
  name: str
  make: Callable[[Path], list[str]]


class Base:
  """Good files to make bad ones of, made in a folder when they are needed."""

  def __init__(self, folder: Path):
    folder.mkdir()
    self._folder = folder

  @functools.cached_property
  def sounds(self) -> dict[str, bytes]:
    """Recordings of two seconds, by suffix."""
    speech = audio.read(EXAMPLE)[: 2 * schema.SAMPLE_RATE]
    for suffix, codec in SOUNDS.items():
      _encode(self._folder / f"good.{suffix}", codec, speech)
    return {suffix: (self._folder / f"good.{suffix}").read_bytes() for suffix in SOUNDS}

  @functools.cached_property
  def films(self) -> dict[str, bytes]:
    """Videos of five seconds, by suffix."""
    for suffix, form in FILMS.items():
      films.make(self._folder / f"good.{suffix}", seconds=5, form=form)
    return {suffix: (self._folder / f"good.{suffix}").read_bytes() for suffix in FILMS}

  @functools.cached_property
  def release(self) -> Path:
    """A small release."""
    return small_release.make(self._folder / "release").folder

  @functools.cached_property
  def clips(self) -> Path:
    """Clips of two people."""
    raw, clips = self._folder / "raw", self._folder / "clips"
    for name in ("ana/a.mp4", "bea/b.mp4"):
      (raw / name).parent.mkdir(parents=True)
      (raw / name).write_bytes(self.films["mp4"])
    cut = ["-m", "data_builders.prepare", "clips", f"--videos={raw}", f"--out={clips}"]
    subprocess.run([sys.executable, *cut], cwd=ROOT, check=True, capture_output=True)
    return clips

  @functools.cached_property
  def run(self) -> Path:
    """A run of one step on the release."""
    run = self._folder / "run"
    command = conftest.training_command(run, self.release, self._folder / "data", num_steps=1)
    subprocess.run(command, cwd=ROOT, env=conftest.environment(), check=True, capture_output=True)
    return run

  @property
  def data(self) -> Path:
    """The prepared data of the run."""
    return self.run.with_name("data")


def _encode(path: Path, codec: str, speech: np.ndarray) -> None:
  with av.open(str(path), "w") as container:
    stream = container.add_stream(codec, rate=48_000, layout="mono")
    frame = av.AudioFrame.from_ndarray(speech[None], format="s16", layout="mono")
    frame.sample_rate = schema.SAMPLE_RATE
    resampler = av.AudioResampler(stream.format, "mono", 48_000)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
      container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def mutations(good: bytes) -> dict[str, bytes]:
  """What becomes of a file."""
  rng = np.random.default_rng(len(good))
  size = len(good)
  flipped = np.frombuffer(good, np.uint8).copy()
  flipped[rng.integers(size, size=size // 500 + 3)] ^= 1 << 5
  zeroed = bytearray(good)
  zeroed[size // 3 : size // 3 + size // 10] = bytes(size // 10)
  return {
    "cut at a tenth": good[: size // 10],
    "cut at the half": good[: size // 2],
    "last bytes missing": good[:-7],
    "zeroed in the middle": bytes(zeroed),
    "flipped bits": flipped.tobytes(),
    "header of noise": rng.bytes(64) + good[64:],
    "huge size in the header": good[:4] + b"\xff\xff\xff\x7f" + good[8:],
    "noise": rng.bytes(size),
  }


def cases(good: Base) -> list[Case]:
  """Returns all cases, kind by kind."""
  return [
    *quick_cases(good),
    *_of_archives(good),
    *_of_clips(good),
    *_of_runs(good),
    *_of_records(good),
  ]


def quick_cases(good: Base) -> list[Case]:
  """Returns those that need no training."""
  return [
    *_of_sound(good),
    *_of_films(good),
    *_of_tables(),
    *_of_pairs(good),
    *_of_weights(),
    *_of_configs(),
  ]


def _file(kind: str, name: str, file: str, content: bytes, *command: str) -> Case:
  """A case of one file; "FILE" in the command stands for its path, "OUT" for the output folder."""

  def make(folder: Path) -> list[str]:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return _filled(command, folder, path)

  return Case(kind, name, make)


def _filled(command: tuple[str, ...], folder: Path, path: Path) -> list[str]:
  return [
    part.replace("FILE", str(path)).replace("OUT", str(folder / "out")).replace("IN", str(folder))
    for part in command
  ]


def _wav(rate: int, channels: int, bits: int, size: int, body: bytes = bytes(4_000)) -> bytes:
  frame = channels * bits // 8
  head = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
  return (
    b"RIFF"
    + struct.pack("<I", size)
    + b"WAVEfmt "
    + head
    + b"data"
    + struct.pack("<I", size)
    + body
  )


def _of_sound(good: Base) -> Iterator[Case]:
  sample = ("main.py", "--mode=sample", "--speech=FILE", "--out=OUT")
  for suffix, content in good.sounds.items():
    for name, changed in mutations(content).items():
      yield _file("sound", f"{suffix}, {name}", f"bad.{suffix}", changed, *sample)
  wav = good.sounds["wav"]
  for name, file, content in (
    ("an empty file", "bad.wav", b""),
    ("text", "bad.wav", b"hello\n" * 99),
    ("a picture", "bad.wav", _png()),
    ("a rate of 0", "bad.wav", _wav(0, 1, 16, 4_000)),
    ("a rate of 2 GHz", "bad.wav", _wav(2**31 - 1, 1, 16, 4_000)),
    ("no channels", "bad.wav", _wav(16_000, 0, 16, 4_000)),
    ("65,535 channels", "bad.wav", _wav(16_000, 65_535, 16, 4_000)),
    ("a size of 4 GiB", "bad.wav", _wav(16_000, 1, 16, 2**32 - 1)),
    ("a playlist of a device", "bad.m3u8", b"#EXTM3U\n#EXTINF:9,\n/dev/zero\n#EXT-X-ENDLIST\n"),
    ("a list of files", "bad.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n"),
    ("a name with a line break", "a\nb.wav", b"x"),
    ("a name with quotes", "\"'$(rm).wav", b"x"),
    ("a name in no encoding", os.fsdecode(b"\xff\xfe.wav"), b"x"),
    ("a good file with an odd name", os.fsdecode(b"\xff;\n\xc3\xa9 '\".wav"), wav),
    ("a good file with a long name", "a" * 240 + ".wav", wav),
    ("a good file with a dash", "--mode=train.wav", wav),
  ):
    yield _file("sound", name, file, content, *sample)

  def special(make: Callable[[Path], object]) -> Callable[[Path], list[str]]:
    def made(folder: Path) -> list[str]:
      path = folder / "bad.wav"
      make(path)
      return _filled(sample, folder, path)

    return made

  yield Case("sound", "a pipe that nobody writes", special(os.mkfifo))
  yield Case("sound", "a link to itself", special(lambda path: path.symlink_to(path)))
  yield Case("sound", "a link to a device", special(lambda path: path.symlink_to("/dev/zero")))
  yield Case("sound", "a folder of folders", special(lambda path: (path / "a").mkdir(parents=True)))

  def mixed(folder: Path) -> list[str]:
    (folder / "many").mkdir()
    (folder / "many" / "good.wav").write_bytes(wav)
    (folder / "many" / "notes.txt").write_text("notes")
    os.mkfifo(folder / "many" / "pipe.wav")
    (folder / "many" / "lost.wav").symlink_to("nowhere")
    return _filled(sample, folder, folder / "many")

  yield Case("sound", "a folder with a good file and bad ones", mixed)


def _png() -> bytes:
  out = io.BytesIO()
  from PIL import Image

  Image.new("RGB", (8, 8)).save(out, "PNG")
  return out.getvalue()


def _of_films(good: Base) -> Iterator[Case]:
  clips = ("-m", "data_builders.prepare", "clips", "--videos=IN/raw", "--out=OUT")
  for suffix, content in good.films.items():
    for name, changed in mutations(content).items():
      yield _file("film", f"{suffix}, {name}", f"raw/ana/bad.{suffix}", changed, *clips)
  for name, file, content in (
    ("an empty file", "raw/ana/bad.mp4", b""),
    ("text", "raw/ana/bad.mp4", b"hello\n" * 99),
    ("sound alone", "raw/ana/bad.mp4", good.sounds["m4a"]),
    ("two joined", "raw/ana/bad.ts", good.films["ts"] + good.films["ts"]),
    ("a name in no encoding", os.fsdecode(b"raw/\xff\n/\xfe'.mp4"), good.films["mp4"]),
    ("metadata of noise", "raw/ana/bad.info.json", b"{[\xff"),
    ("identities of noise", "raw/identities.csv", b"\xff\xfe\x00\x01"),
  ):
    yield _file("film", name, file, content, *clips)

  def link(folder: Path) -> list[str]:
    (folder / "raw" / "ana").mkdir(parents=True)
    (folder / "raw" / "ana" / "out.mp4").symlink_to("/etc/passwd")
    (folder / "raw" / "ana" / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(folder / "raw" / "ana" / "pipe.mp4")
    return _filled(clips, folder, folder)

  yield Case("film", "links that lead out or nowhere, and a pipe", link)


def _trains(*more: str) -> tuple[str, ...]:
  flags = conftest.training_flags("OUT/run", "FILE", "OUT/data", num_steps=1)
  return ("main.py", *flags, *more)


def _tar(members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:xz") -> bytes:
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode=mode) as archive:
    for info, content in members:
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return out.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
  info = tarfile.TarInfo(name)
  info.type, info.linkname = kind, link
  return info


def _of_archives(good: Base) -> Iterator[Case]:
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode="w:xz", preset=0) as archive:
    archive.add(good.release, "release")
  for name, changed in mutations(out.getvalue()).items():
    yield _file("archive", name, "bad.tar.xz", changed, *_trains())
  face = "dataset/train/ada/cropped_face_frame_1.png"
  for name, content in (
    ("an empty file", b""),
    ("no members", _tar([])),
    ("a name that climbs", _tar([(_member(f"../../../{HELD}/{face}"), b"x")])),
    ("an absolute name", _tar([(_member(f"/tmp/{face}"), b"x")])),
    ("a link that leads out", _tar([(_member(face, tarfile.SYMTYPE, "/etc/passwd"), b"")])),
    ("a device", _tar([(_member(face, tarfile.CHRTYPE), b"")])),
    ("faces that are text", _tar([(_member(face), b"text")])),
    ("another format", b"PK\x03\x04" + bytes(99)),
  ):
    yield _file("archive", name, "bad.tar.xz", content, *_trains())


def _of_tables() -> Iterator[Case]:
  download = ("-m", "data_builders.prepare", "download", "--channels=FILE", "--out=OUT")
  head = b"Name,Gender,Channel-URL\n"
  for name, content in (
    ("an empty file", b""),
    ("noise", np.random.default_rng(0).bytes(9_999)),
    ("a zero byte", head + b"ana\0,f,http://127.0.0.1:1/\n"),
    ("an open quote", head + b'"ana,f,http://127.0.0.1:1/\n'),
    ("a cell of a megabyte", head + b"a" * 2**20 + b",f,http://127.0.0.1:1/\n"),
    ("names that climb", head + b"../../x,f,http://127.0.0.1:1/\n/etc,f,http://127.0.0.1:1/\n"),
    ("addresses of files", head + b"ana,f,file:///etc/passwd\nbea,f,ftp://x/\n"),
    ("addresses of nothing", head + b"ana,f,http://127.0.0.1:1/\nbea,f,http://[::\n"),
    ("columns of another table", b"a;b;c\n1;2;3\n"),
    ("half of UTF-16", b"\xff\xfe" + head.decode().encode("utf-16-le")[:-1]),
  ):
    yield _file("table", name, "bad.csv", content, *download)


def _of_pairs(good: Base) -> Iterator[Case]:
  listing = ("main.py", "--mode=evaluate", "--list", "--split=train", "--config=voices")
  places = ("--config.dataset.source=IN/pairs.csv", "--config.dataset.data_dir=OUT/data")
  command = (*listing, *places, "--config.image_size=16", "--out=OUT/clips")
  face = images.encode_jpeg(np.zeros((32, 32, 3), np.uint8))
  head, line = b"identity,face,speech\n", b"%b,face.jpg,speech.wav\n"
  whole = head + line % b"ana" + line % b"bo"

  def case(name: str, table: bytes = whole, **changed: bytes) -> Case:
    def make(folder: Path) -> list[str]:
      files = {"pairs.csv": table, "face.jpg": face, "speech.wav": good.sounds["wav"], **changed}
      for file, content in files.items():
        (folder / file).write_bytes(content)
      os.mkfifo(folder / "pipe")
      return _filled(command, folder, folder)

    return Case("pairs", name, make)

  yield case("a good table")
  for name, table in (
    ("an empty file", b""),
    ("no lines", head),
    ("noise", np.random.default_rng(0).bytes(9_999)),
    ("an open quote", whole + b'"ana,face.jpg,speech.wav\n'),
    ("zero bytes", whole + b"ana,f\0.jpg,speech.wav\na\0a,face.jpg,speech.wav\n"),
    ("names that climb", whole + line % b"../../x" + line % b"/etc" + line % b"a/../../b"),
    ("odd names", whole + line % "\u202e\U0001f600'".encode() + line % b"\x01" + line % b"."),
    ("a name of a megabyte", whole + line % (b"a" * 2**20)),
    ("paths to devices", whole + b"ana,/dev/zero,/dev/zero\nbo,pipe,pipe\nana,/,.\n"),
    ("paths to secrets", whole + b"ana,/etc/passwd,/etc/passwd\n"),
    ("a path of a megabyte", whole + b"ana," + b"x" * 2**20 + b",speech.wav\n"),
    ("a split of its own", b"split," + head + b"dev," + line % b"ana" + b"dev," + line % b"bo"),
    ("one person", head + line % b"ana"),
    ("times of nothing", b"time," + head + b"nan," + line % b"ana" + b"1e99," + line % b"bo"),
    ("half of UTF-16", b"\xff\xfe" + whole.decode().encode("utf-16-le")[:-1]),
  ):
    yield case(name, table)
  for name, changed in mutations(face).items():
    yield case(f"a picture, {name}", **{"face.jpg": changed})
  for name, changed in mutations(_png()).items():
    yield case(f"a PNG, {name}", **{"face.jpg": changed})


def _of_clips(good: Base) -> Iterator[Case]:
  lines = [json.loads(line) for line in (good.clips / "manifest.jsonl").read_text().splitlines()]
  train = _trains("--config.dataset.name=clips")
  curate = ("-m", "data_builders.prepare", "curate", "--clips=IN/clips")

  def case(name: str, content: bytes, command: tuple[str, ...], file: str = "manifest.jsonl"):
    def make(folder: Path) -> list[str]:
      shutil.copytree(good.clips, folder / "clips")
      (folder / "clips" / file).write_bytes(content)
      return _filled(command, folder, folder / "clips")

    return Case("clips", name, make)

  def changed(**fields: object) -> bytes:
    rows = [lines[0] | fields, *lines[1:]]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()

  whole = changed()
  for name, content in {
    **{f"manifest, {name}": bad for name, bad in mutations(whole).items()},
    "manifest, an empty file": b"",
    "manifest, nested ten thousand deep": b"[" * 10_000 + b"]" * 10_000 + b"\n",
    "manifest, a face that climbs": changed(face=f"../{HELD}/secret"),
    "manifest, speech that is absolute": changed(speech="/etc/passwd"),
    "manifest, a face that is a number": changed(face=3),
    "manifest, scores that are text": changed(scores="many"),
    "manifest, a time of NaN": changed(time=float("nan")),
    "manifest, a box of five": changed(box=[1, 2, 3, 4, 5]),
    "manifest, an identity that climbs": changed(identity="../x", video="../x/y.mp4"),
    "manifest, an unknown field": changed(colour="blue"),
    "manifest, an identity in no encoding": changed(identity="\udcff", video="\udcff/y.mp4"),
  }.items():
    yield case(f"{name}; training", content, train)
    yield case(f"{name}; curation", content, curate)
  decisions = (*curate, "--decisions=IN/clips/decisions.json")
  for name, content in (
    ("an empty file", b""),
    ("a list", b"[1, 2]"),
    ("numbers", b'{"a": 1}'),
    ("noise", b"\xff\xfe\x00"),
    ("nested ten thousand deep", b"[" * 10_000 + b"]" * 10_000),
  ):
    yield case(f"decisions, {name}", content, decisions, "decisions.json")
  yield case("a face of noise", b"noise", train, lines[0]["face"])
  yield case("a face of noise; curation", b"noise", curate, lines[0]["face"])
  yield case("speech of noise", b"noise", train, lines[0]["speech"])


def _of_runs(good: Base) -> Iterator[Case]:
  sample = ("main.py", "--mode=sample", "--workdir=IN/run", f"--speech={EXAMPLE}", "--out=OUT")
  trains = ("main.py", *conftest.training_flags("OUT/run", good.release, good.data, num_steps=2))
  files = [path for path in sorted(good.run.glob("checkpoints/**/*")) if path.is_file()]
  arrays = max((p for p in files if p.parent.name == "d"), key=lambda path: path.stat().st_size)
  small = [path for path in files if path.suffix == ".json" or path.name.startswith("_")][:3]

  def case(name: str, path: Path, content: bytes | None, command: tuple[str, ...]):
    def make(folder: Path) -> list[str]:
      place = folder / "out" / "run" if command is trains else folder / "run"
      shutil.copytree(good.run, place)
      target = place / path.relative_to(good.run)
      target.unlink()
      if content is not None:
        target.write_bytes(content)
      return _filled(command, folder, folder / "run")

    return Case("run", name, make)

  for path in (good.run / "config.json", arrays, *small):
    found = mutations(path.read_bytes())
    for name in ("cut at the half", "flipped bits", "noise"):
      yield case(f"{path.name}, {name}", path, found[name], sample)
    yield case(f"{path.name}, missing", path, None, sample)
  history = good.run / "history.jsonl"
  for name, content in (("noise", b"\xff\x00\n"), ("half a line", b'{"step": 1, "lo')):
    yield case(f"history, {name}; resumed", history, content, trains)
  config = json.loads((good.run / "config.json").read_text())
  for name, content in (
    ("a list", b"[]"),
    ("nested ten thousand deep", b"[" * 10_000),
    ("without a config", b"{}"),
    ("a size of a billion", json.dumps(_deep(config, "image_size", 2**30)).encode()),
  ):
    yield case(f"config.json, {name}", good.run / "config.json", content, sample)


def _deep(tree: object, name: str, value: object) -> object:
  if isinstance(tree, dict):
    return {key: value if key == name else _deep(leaf, name, value) for key, leaf in tree.items()}
  return tree


def _of_weights() -> Iterator[Case]:
  shipped = EXAMPLE.parent.parent
  weights = (shipped / "generator.safetensors").read_bytes()
  sample = ("main.py", "--mode=sample", "--workdir=IN/w", f"--speech={EXAMPLE}", "--out=OUT")

  def case(name: str, content: bytes):
    def make(folder: Path) -> list[str]:
      shutil.copytree(shipped, folder / "w")
      (folder / "w" / "generator.safetensors").write_bytes(content)
      return _filled(sample, folder, folder)

    return Case("weights", f"shipped, {name}", make)

  found = mutations(weights)
  for name in ("cut at a tenth", "last bytes missing", "header of noise", "noise"):
    yield case(name, found[name])
  yield case("an empty file", b"")
  yield case("a header of 8 EiB", b"\xff" * 7 + b"\x7f" + weights[8:])
  yield case("tensors of other names", safetensors.numpy.save({"a": np.zeros(3)}))
  imports = (
    "main.py",
    "--mode=import",
    "--generator=FILE",
    "--discriminator=FILE",
    "--workdir=OUT/run",
  )
  archive, pickled = io.BytesIO(), io.BytesIO()
  np.savez(archive, a=np.zeros(9))
  np.savez(pickled, a=np.array([{1: 2}], object))
  for name, file, content in (
    ("cut", "bad.npz", archive.getvalue()[:-40]),
    ("other names", "bad.npz", archive.getvalue()),
    ("Python objects", "bad.npz", pickled.getvalue()),
    ("noise", "bad.npz", b"noise" * 99),
    ("an empty file", "bad.npz", b""),
    ("a shape of a billion", "bad.npz", _huge_npz()),
    ("cut", "bad.safetensors", weights[:999]),
    ("noise", "bad.safetensors", b"noise" * 99),
    ("text", "bad.txt", b"text"),
    ("noise", "bad.pth", b"noise" * 99),
  ):
    yield _file("weights", f"{file}, {name}", file, content, *imports)


def _huge_npz() -> bytes:
  import zipfile

  head = b"\x93NUMPY\x01\x00"
  text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }"
  text = text.ljust(117) + b"\n"
  out = io.BytesIO()
  with zipfile.ZipFile(out, "w") as archive:
    archive.writestr("a.npy", head + struct.pack("<H", len(text)) + text + bytes(64))
  return out.getvalue()


def _of_configs() -> Iterator[Case]:
  train = ("main.py", "--config=FILE", "--workdir=OUT/run", "--config.dataset.data_dir=OUT/data")
  start = "from wav2pix_jax.configs import demo\ndef get_config():\n  config = demo.get_config()\n"
  for name, content in (
    ("an empty file", b""),
    ("noise", np.random.default_rng(0).bytes(999)),
    ("bad syntax", b"def get_config(:\n"),
    ("no get_config", b"x = 1\n"),
    ("returns nothing", b"def get_config():\n  pass\n"),
    ("returns a list", b"def get_config():\n  return [1]\n"),
    ("raises", b"def get_config():\n  raise KeyError('a')\n"),
    ("imports nothing", b"import nothing_there\n"),
    ("another type", f"{start}  config.batch_size = 'many'\n  return config\n".encode()),
    ("an unknown field", f"{start}  config.colour = 1\n  return config\n".encode()),
    ("a size of a billion", f"{start}  config.image_size = 2**30\n  return config\n".encode()),
    ("negative", f"{start}  config.num_steps = -1\n  return config\n".encode()),
    ("no widths", f"{start}  config.model.encoder_widths = ()\n  return config\n".encode()),
  ):
    yield _file("config", name, "bad.py", content, *train)


def _of_records(good: Base) -> Iterator[Case]:
  found = [path for path in sorted(good.data.rglob("*")) if path.is_file() and path.stat().st_size]
  records = [path for path in found if "train.array_record" in path.name]
  about = [path for path in found if path.name in ("dataset_info.json", "features.json")]
  arrays = [path for path in found if path.name == "table.npy"][:1]

  def case(path: Path, name: str, content: bytes | None):
    def make(folder: Path) -> list[str]:
      shutil.copytree(good.data, folder / "out" / "data")
      target = folder / "out" / "data" / path.relative_to(good.data)
      target.unlink()
      if content is not None:
        target.write_bytes(content)
      if "arrays" not in str(path):
        for cache in (folder / "out" / "data").rglob("arrays_*"):
          shutil.rmtree(cache)
      flags = conftest.training_flags("OUT/run", good.release, "OUT/data", num_steps=1)
      return _filled(("main.py", *flags), folder, folder)

    return Case("records", f"{path.name}, {name}", make)

  for path in (*records, *about, *arrays):
    changed = mutations(path.read_bytes())
    for name in ("cut at the half", "flipped bits", "noise"):
      yield case(path, name, changed[name])
    yield case(path, "missing", None)


@dataclasses.dataclass(frozen=True)
class Ended:
  """How a process ended.

  Attributes:
    verdict: "one line", "listed", "used", or what went wrong.
    said: the last line that it printed.
    seconds: how long it took.
    memory: its peak memory in bytes.
  """

  verdict: str
  said: str
  seconds: float
  memory: int


def run(case: Case, folder: Path) -> Ended:
  """Makes a case in a folder of its own, and reads it in a process of its own."""
  (folder / HELD).mkdir(parents=True)
  (folder / HELD / "secret").write_text("secret")
  inside = folder / "in"
  inside.mkdir()
  command = case.make(inside)
  before = _listing(folder)
  more = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary")}
  (folder / "temporary").mkdir()
  begun = time.perf_counter()
  with (folder / "stdout").open("w+b") as out, (folder / "stderr").open("w+b") as err:
    process = subprocess.Popen(
      [sys.executable, *command],
      cwd=ROOT,
      env=conftest.environment(**more),
      stdin=subprocess.DEVNULL,
      stdout=out,
      stderr=err,
      start_new_session=True,
    )
    timer = threading.Timer(2 * SECONDS, lambda: os.killpg(process.pid, 9))
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
  seconds, memory = time.perf_counter() - begun, usage.ru_maxrss * 1024
  printed = [(folder / name).read_bytes().decode(errors="replace") for name in ("stdout", "stderr")]
  lines = [line for line in "".join(printed).replace("\r", "\n").splitlines() if line.strip()]
  errors = [line for line in lines if line.startswith(("error: ", "interrupted: "))]
  said = (errors or lines or [""])[-1]
  if "Traceback (most recent call last)" in printed[1]:
    verdict = "traceback"
  elif process.returncode < 0:
    verdict = "slow" if process.returncode == -9 and seconds > SECONDS else "crash"
  elif seconds > SECONDS:
    verdict = "slow"
  elif memory > MEMORY:
    verdict = "memory"
  elif _listing(folder) != before or (folder / HELD / "secret").read_text() != "secret":
    verdict = "outside"
  elif process.returncode == 0:
    verdict = "used"
  elif process.returncode == 1 and not errors:
    verdict = "listed"
  else:
    verdict = "one line" if len(errors) == 1 else "no line"
  return Ended(verdict, said, seconds, memory)


def _listing(folder: Path) -> set[str]:
  """The files of a case but those that it may write."""
  free = ("in/out", "in/clips/", "home", "temporary", "stdout", "stderr")
  paths = (os.fsencode(path.relative_to(folder)) for path in folder.rglob("*"))
  names = (path.decode(errors="replace") for path in paths)
  return {name for name in names if not name.startswith(free) and "/.lock" not in name}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--only", default="", help="run cases whose kind and name contain this")
  parser.add_argument("--verbose", action="store_true", help="print a line for each case")
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as name:
    good = Base(Path(name, "good"))
    chosen = [case for case in cases(good) if args.only in f"{case.kind}: {case.name}"]
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    slowest, largest = 0.0, 0

    def one(number: int) -> Ended:
      return run(chosen[number], Path(name, str(number)))

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
      for case, ended in zip(chosen, threads.map(one, range(len(chosen))), strict=True):
        table[case.kind][ended.verdict] += 1
        slowest, largest = max(slowest, ended.seconds), max(largest, ended.memory)
        bad = ended.verdict not in ("one line", "listed", "used")
        if bad or args.verbose:
          print(f"{ended.verdict:9} {case.kind}: {case.name}: {ended.said[:200]}", flush=True)
  verdicts = ["one line", "listed", "used", "traceback", "crash", "slow", "memory", "outside"]
  verdicts += sorted({verdict for found in table.values() for verdict in found} - {*verdicts})
  print(f"{'':9} {'inputs':>9} " + " ".join(f"{verdict:>9}" for verdict in verdicts))
  table["all"] = sum(table.values(), collections.Counter())
  for kind, found in table.items():
    counts = " ".join(f"{found[verdict]:9}" for verdict in verdicts)
    print(f"{kind:9} {sum(found.values()):9} {counts}")
  print(f"The slowest took {slowest:.1f} s, the largest {largest / 2**30:.2f} GiB.")
  sys.exit(any(table["all"][verdict] for verdict in verdicts[3:]))


if __name__ == "__main__":
  main()
