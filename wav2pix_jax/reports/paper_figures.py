"""The mode `figures`: the paper's figures 3 to 6, with faces of one's own runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax.common import dlib_faces, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import check_writable, writing
from wav2pix_jax.metrics import evaluation_set
from wav2pix_jax.metrics.evaluation_set import EvaluationSet
from wav2pix_jax.runtime import checkpoint

COLUMNS = 8  # faces in a row
MARKED = 6  # faces with landmarks
INCHES = 0.9  # side of a face


@dataclasses.dataclass(frozen=True)
class Generated:
  """A run, and faces that it generated."""

  workdir: Path  # the run's directory
  of: EvaluationSet  # the evaluation set with the speech
  step: int  # the step of the checkpoint
  faces: np.ndarray  # uint8 [N, S, S, 3]

  @property
  def label(self) -> str:
    """Name, window length and resolution."""
    milliseconds = 1000 * self.of.config.dataset.window_samples / schema.SAMPLE_RATE
    return f"{self.workdir.name}\n{milliseconds:.0f} ms, {self.of.config.image_size} px"


def figures(workdir: Path, compare: Sequence[Path], split: str, out: Path) -> None:
  """Writes each figure as PNG and PDF into `out`, and prints its caption.

  The split's speech is used: "train", "validation", "test" or "unseen". Figure 6 compares the run
  with others on the same dataset.

  Raises:
    UserError: There is no such run or split, the runs are on different datasets, or the extra
      `eval` is not installed.
  """
  try:
    import matplotlib  # noqa: F401
  except ImportError as error:
    raise UserError("matplotlib is not installed; pip install -e '.[eval]'") from error
  check_writable(out)
  runs = [_generated(path, split) for path in (workdir, *compare)]
  first, *others = runs
  for other in others:
    if not _same_speech(first.of, other.of):
      raise UserError(f"--compare={other.workdir}: its {split} speech is not that of {workdir}.")
  written = [_samples(first), _landmarks(first), _beside_real(first), _side_by_side(runs)]
  seeds = f"sampling seed {evaluation_set.SEED}, training seed {first.of.config.seed}"
  for number, made in enumerate(written, 3):
    if made is None:
      print(f"Figure {number} is left out, as dlib is not installed; pip install -e '.[eval]'.")
      continue
    figure, caption = made
    caption = f"Figure {number}. {caption} Step {first.step} of {workdir}; {seeds}."
    figure.text(0.01, 0.1 / figure.get_figheight(), caption, fontsize=6, wrap=True)
    for suffix in ("png", "pdf"):
      path = out / f"figure_{number}.{suffix}"
      with writing(path):
        out.mkdir(parents=True, exist_ok=True)
        # No date in the file, so that the same run gives the same bytes.
        figure.savefig(path, dpi=200, metadata={"CreationDate": None} if suffix == "pdf" else None)
    print(f"{out / f'figure_{number}'}.png, .pdf: {caption}")


def _generated(workdir: Path, split: str) -> Generated:
  run = checkpoint.load(workdir)
  of = evaluation_set.choose(workdir, run.config, split)
  return Generated(workdir, of, run.step, evaluation_set.sample(run.sampler, of, draws=1)[0])


def _same_speech(a: EvaluationSet, b: EvaluationSet) -> bool:
  return (
    a.names == b.names
    and np.array_equal(a.records.stops, b.records.stops)
    and np.array_equal(a.records.speech, b.records.speech)
  )


def _people(of: EvaluationSet) -> list[int]:
  """Returns the labels of the speakers."""
  return [int(who) for who in np.unique(of.records.identity)]


def _of_person(of: EvaluationSet, who: int, count: int) -> np.ndarray:
  """Returns the places of up to `count` chunks of a person among the chosen ones."""
  return np.flatnonzero(of.identity == who)[:count]


def _samples(run: Generated) -> tuple[Any, str]:
  """Figure 3."""
  people = _people(run.of)
  rows = [run.faces[_of_person(run.of, who, COLUMNS)] for who in people]
  return _grid(rows, [run.of.names[who] for who in people]), (
    f"Faces generated from {run.of.split} speech, one row for each of {len(people)} identities."
  )


def _landmarks(run: Generated) -> tuple[Any, str] | None:
  """Figure 4."""
  try:
    describe = dlib_faces.describer()
  except dlib_faces.UnavailableError:
    return None
  places = np.concatenate([_of_person(run.of, who, 1) for who in _people(run.of)])
  faces = run.faces[places[:MARKED]]
  described = describe(faces, "Landmarks")
  figure = _grid([faces], [""], inches=2.2)
  for axes, points, found in zip(figure.axes, described.landmarks, described.found, strict=False):
    if found:
      axes.scatter(*points.T, s=3, color="lime", linewidths=0)
      for number, (x, y) in enumerate(points, 1):
        axes.text(x, y, number, fontsize=4, color="yellow", clip_on=True)
  return figure, (
    f"The 68 landmarks of Kazemi and Sullivan, found in {described.found.sum()} of {len(faces)} "
    f"faces generated from {run.of.split} speech."
  )


def _beside_real(run: Generated) -> tuple[Any, str]:
  """Figure 5."""
  who = int(np.bincount(run.of.identity).argmax())
  places = _of_person(run.of, who, COLUMNS)
  real = run.of.real[places]
  return _grid([real, run.faces[places]], ["real", "generated"]), (
    f"Above, real faces of {run.of.names[who]}; below, faces generated from speech of the same "
    "moments."
  )


def _side_by_side(runs: Sequence[Generated]) -> tuple[Any, str]:
  """Figure 6."""
  first = max(runs, key=lambda run: run.of.config.image_size)
  people = _people(first.of)
  places = np.concatenate([_of_person(first.of, who, 1) for who in people])[: 2 * COLUMNS]
  rows = [first.of.real[places], *(run.faces[places] for run in runs)]
  return _grid(rows, ["real", *(run.label for run in runs)]), (
    "Faces from the same speech by runs that differ in window length or resolution."
  )


def _grid(rows: Sequence[np.ndarray], labels: Sequence[str], inches: float = INCHES) -> Any:
  """Returns a figure with rows of faces [N, S, S, 3], each with a label to its left."""
  from matplotlib.figure import Figure

  columns = max(len(row) for row in rows)
  left, bottom = 1.1 if any(labels) else 0.1, 0.45
  width, height = left + columns * inches, bottom + len(rows) * inches
  figure = Figure(figsize=(width, height))
  grid = figure.subplots(len(rows), columns, squeeze=False)
  figure.subplots_adjust(left / width, bottom / height, right=1, top=1, wspace=0.02, hspace=0.02)
  for axes in grid.flat:
    axes.axis("off")
  for line, faces, label in zip(grid, rows, labels, strict=True):
    for axes, face in zip(line, faces, strict=False):
      axes.imshow(face, interpolation="bilinear")
      axes.autoscale(False)  # landmarks may lie outside
    line[0].text(
      -0.06, 0.5, label, transform=line[0].transAxes, ha="right", va="center", fontsize=7
    )
  return figure
