"""The paper's figures 3 to 6, drawn by one's own runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax.common import dlib_faces, schema
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import writing
from wav2pix_jax.metrics import evaluation_set
from wav2pix_jax.metrics.evaluation_set import Chunks
from wav2pix_jax.runtime import checkpoint

COLUMNS = 8  # faces in a row
MARKED = 6  # faces with landmarks
INCHES = 0.9  # of a face


@dataclasses.dataclass(frozen=True)
class Drawn:
  """A run, and what it drew.

  Attributes:
    workdir: of the run.
    of: what was drawn from.
    step: of the checkpoint.
    faces: uint8 [N, S, S, 3].
  """

  workdir: Path
  of: Chunks
  step: int
  faces: np.ndarray

  @property
  def label(self) -> str:
    """Name, length of a chunk, resolution."""
    milliseconds = 1000 * self.of.config.dataset.window_samples / schema.SAMPLE_RATE
    return f"{self.workdir.name}\n{milliseconds:.0f} ms, {self.of.config.image_size} px"


def figures(workdir: Path, compare: Sequence[Path], split: str, out: Path) -> None:
  """Writes each figure as PNG and PDF, and prints its caption.

  Args:
    workdir: of a run with a checkpoint.
    compare: workdirs of other runs on the same dataset, for figure 6.
    split: whose speech is drawn from: "train", "validation", "test" or "unseen".
    out: folder for the files; made where it is missing.

  Raises:
    UserError: no such run or split, runs on other datasets, or the extra `eval` is not installed.
  """
  try:
    import matplotlib  # noqa: F401
  except ImportError as error:
    raise UserError("matplotlib is not installed; pip install -e '.[eval]'") from error
  runs = [_drawn(path, split) for path in (workdir, *compare)]
  first, *others = runs
  for other in others:
    if not _same_speech(first.of, other.of):
      raise UserError(f"--compare={other.workdir}: not the {split} speech of {workdir}.")
  written = [
    _samples(first),
    _landmarks(first),
    _beside_real(first),
    _side_by_side(runs),
  ]
  seeds = f"seed {evaluation_set.SEED} of drawing, {first.of.config.seed} of training"
  for number, made in enumerate(written, 3):
    if made is None:
      print(f"figure {number}: left out, since dlib is not installed; pip install -e '.[eval]'")
      continue
    figure, caption = made
    caption = f"Figure {number}. {caption} Step {first.step} of {workdir}; {seeds}."
    figure.text(0.01, 0.1 / figure.get_figheight(), caption, fontsize=6, wrap=True)
    for suffix in ("png", "pdf"):
      path = out / f"figure_{number}.{suffix}"
      with writing(path):
        out.mkdir(parents=True, exist_ok=True)
        # no date in the file: the same run gives the same bytes
        figure.savefig(path, dpi=200, metadata={"CreationDate": None} if suffix == "pdf" else None)
    print(f"{out / f'figure_{number}'}.png, .pdf: {caption}")


def _drawn(workdir: Path, split: str) -> Drawn:
  run = checkpoint.load(workdir)
  of = evaluation_set.choose(workdir, run.config, split)
  return Drawn(workdir, of, int(run.state.step), evaluation_set.draw(run, of, draws=1)[0])


def _same_speech(a: Chunks, b: Chunks) -> bool:
  return (
    a.names == b.names
    and np.array_equal(a.records.stops, b.records.stops)
    and np.array_equal(a.records.speech, b.records.speech)
  )


def _people(of: Chunks) -> list[int]:
  """Labels of those who speak in it."""
  return [int(who) for who in np.unique(of.records.identity)]


def _of_person(of: Chunks, who: int, count: int) -> np.ndarray:
  """Places of up to `count` chunks of a person among the chosen ones."""
  return np.flatnonzero(of.records.identity[of.chosen] == who)[:count]


def _samples(run: Drawn) -> tuple[Any, str]:
  """Figure 3."""
  people = _people(run.of)
  rows = [run.faces[_of_person(run.of, who, COLUMNS)] for who in people]
  return _grid(rows, [run.of.names[who] for who in people]), (
    f"Faces drawn from {run.of.split} speech, a row for each of {len(people)} identities."
  )


def _landmarks(run: Drawn) -> tuple[Any, str] | None:
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
    f"faces drawn from {run.of.split} speech."
  )


def _beside_real(run: Drawn) -> tuple[Any, str]:
  """Figure 5."""
  identity = run.of.records.identity[run.of.chosen]
  who = int(np.bincount(identity).argmax())
  places = _of_person(run.of, who, COLUMNS)
  real = run.of.records.faces[run.of.chosen[places]]
  return _grid([real, run.faces[places]], ["real", "drawn"]), (
    f"Above real faces of {run.of.names[who]}, below faces drawn from the same moments' speech."
  )


def _side_by_side(runs: Sequence[Drawn]) -> tuple[Any, str]:
  """Figure 6."""
  first = max(runs, key=lambda run: run.of.config.image_size)
  people = _people(first.of)
  places = np.concatenate([_of_person(first.of, who, 1) for who in people])[: 2 * COLUMNS]
  rows = [first.of.records.faces[first.of.chosen[places]], *(run.faces[places] for run in runs)]
  return _grid(rows, ["real", *(run.label for run in runs)]), (
    "The same speech drawn by runs that differ in the length of a chunk or in resolution."
  )


def _grid(rows: Sequence[np.ndarray], labels: Sequence[str], inches: float = INCHES) -> Any:
  """Rows of faces [N, S, S, 3], each with a label to its left."""
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
