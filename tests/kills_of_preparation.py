"""Kills the preparation of data at random moments, runs it again, and compares the ends.

    python tests/kills_of_preparation.py --kills=20

The commands are those that write data: the dataset of synthetic speakers, `prepare download` (from
a server on loopback), `prepare clips`, and `prepare curate`. Each kill is a SIGKILL to the command
and its workers, at any moment of its usual time. Then the same command runs to its end. The ends
are equal where all files are, to the byte, and nothing unfinished is left; of array_record files,
which are written in any order, what is decoded from them. `tests/kills.py` does the same to
training.
"""

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import conftest  # noqa: E402
import films  # noqa: E402
import loopback  # noqa: E402

PREPARE = "from wav2pix_jax import data; from wav2pix_jax.configs import demo; import sys"
PREPARE += "; c = demo.get_config(); c.dataset.data_dir = sys.argv[1]; s = c.dataset.synthetic"
PREPARE += "; s.clips_per_identity = 20; s.identities = 3; b = data.prepare(c.dataset)"
PREPARE += "; [data.load(b, split, 64) for split in sorted(b.info.splits)]"


@dataclasses.dataclass(frozen=True)
class Job:
  """A command that writes a folder.

  Attributes:
    name: for the table.
    start: copies what the command needs into an empty folder.
    command: its arguments, for such a folder.
  """

  name: str
  start: Callable[[Path], None]
  command: Callable[[Path], list[str]]


@contextmanager
def jobs() -> Iterator[list[Job]]:
  """Yields the jobs, with what they need."""
  with tempfile.TemporaryDirectory() as name, loopback.serving() as server:
    base = Path(name)
    for person in ("ana", "bea"):
      for video in range(3):
        films.make(base / "raw" / person / f"{video}.mp4", seconds=6, who=video)
    film = (base / "raw" / "ana" / "0.mp4").read_bytes()
    names = ("a1", "a2", "a3")
    server.site = {f"/{n}.mp4": ("video/mp4", film) for n in names}
    server.site["/ana.rss"] = ("application/rss+xml", loopback.feed(server.base, names).encode())
    (base / "table.csv").write_text(f"Name,Gender,Channel-URL\nana,f,{server.base}/ana.rss\n")
    prepare = ["-m", "data_builders.prepare"]
    cut = [*prepare, "clips", f"--videos={base / 'raw'}", f"--out={base / 'clips'}"]
    subprocess.run([sys.executable, *cut], cwd=ROOT, check=True, capture_output=True)

    def nothing(folder: Path) -> None:
      folder.mkdir()

    def clips(folder: Path) -> None:
      shutil.copytree(base / "clips", folder)

    yield [
      Job("dataset", nothing, lambda folder: ["-c", PREPARE, str(folder)]),
      Job(
        "download",
        nothing,
        lambda folder: [
          *(*prepare, "download", f"--channels={base / 'table.csv'}", f"--out={folder}")
        ],
      ),
      Job(
        "clips",
        nothing,
        lambda folder: [*prepare, "clips", f"--videos={base / 'raw'}", f"--out={folder}"],
      ),
      Job("curate", clips, lambda folder: [*prepare, "curate", f"--clips={folder}", "--review"]),
    ]


def content(folder: Path) -> dict[str, bytes]:
  """Returns the files of a folder, without locks and times."""
  found = {}
  for path in sorted(folder.rglob("*")):
    if path.is_file() and path.name != ".lock" and "array_record" not in path.name:
      data = path.read_bytes()
      if path.name.endswith(".info.json"):
        data = json.dumps(json.loads(data) | {"retrieved": ""}).encode()
      found[str(path.relative_to(folder))] = data
  return found


def start(job: Job, folder: Path) -> subprocess.Popen:
  """Returns the job's command, running in a session of its own."""
  log = folder.with_name(f"{folder.name}.log").open("ab")
  command = [sys.executable, *job.command(folder)]
  environment = conftest.environment()
  return subprocess.Popen(
    command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
  )


def kill(job: Job, folder: Path, after: float) -> bool:
  """Runs a job in a folder, kills it after so many seconds, and returns whether it was running."""
  job.start(folder)
  process = start(job, folder)
  time.sleep(after)
  running = process.poll() is None
  if running:
    os.killpg(process.pid, signal.SIGKILL)
  process.wait()
  return running


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--kills", type=int, default=20, help="of each command")
  args = parser.parse_args()
  rng, equal, total = random.Random(0), 0, 0
  with jobs() as every, tempfile.TemporaryDirectory() as name:
    print("command   kill    after  files at the kill  end", flush=True)
    for job in every:
      never = Path(name, job.name)
      job.start(never)
      begun = time.perf_counter()
      if start(job, never).wait():
        raise RuntimeError(never.with_name(f"{never.name}.log").read_text())
      usual, expected = time.perf_counter() - begun, content(never)
      for number in range(args.kills):
        folder, after = Path(name, f"{job.name}_{number}"), rng.uniform(0, usual)
        running = kill(job, folder, after)
        there = len(content(folder))
        status = start(job, folder).wait()
        found = content(folder)
        differ = {n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n)}
        good = status == 0 and not differ
        equal, total = equal + good, total + 1
        end = "equal" if good else f"DIFFERS: status {status}, {', '.join(sorted(differ)[:3])}"
        end += "" if running else ", after its end"
        moment = f"{after:6.1f} s {there:12d} of {len(expected):3d}"
        print(f"{job.name:8} {number + 1:5d} {moment}  {end}", flush=True)
        shutil.rmtree(folder)
  print(f"{equal} of {total} ends equal")
  sys.exit(equal != total)


if __name__ == "__main__":
  main()
