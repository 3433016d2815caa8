"""Selects clips by limits on their scores and by the decisions of a review."""

import collections
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_builders.prepare import likeness, manifest, review
from data_builders.prepare.manifest import Clip
from wav2pix_jax.common.dlib_faces import SAME_PERSON, UnavailableError
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, from_json, write_whole

REVIEW = "review.html"
ACCEPT, REJECT = "accept", "reject"

# The published clips, which were chosen by hand, pass: 95% of their seconds of speech have a
# modulation of at least 5.0 and a speech score of at least 0.49 (we measured 410 seconds).
AT_LEAST = {"speech": 0.4, "modulation": 3.5, "sharpness": 0.7, "size": 64, "frontality": 0.15}
AT_MOST = {"silence": 0.6, "clipping": 0.01, "faces": 1, "distance": SAME_PERSON}
LIMITS = AT_LEAST | AT_MOST


@dataclasses.dataclass(frozen=True)
class Curated:
  """The result of a curation."""

  clips: list[Clip]  # all clips, with the score `distance` if it could be computed
  failing: dict[str, list[str]]  # names of the scores that are beyond their limits, by clip id
  # "accept" or "reject" by clip id. Decisions take precedence over limits.
  decisions: dict[str, str]
  unknown: list[str]  # clip ids in the decisions that are not in the manifest
  unreadable: list[str]  # clip ids whose faces cannot be read; they are not in `clips`
  missing: str  # reason why there are no distances; empty if there are

  @property
  def kept(self) -> list[Clip]:
    """The clips that are kept."""
    return [
      clip
      for clip in self.clips
      if self.decisions.get(clip.id, REJECT if self.failing[clip.id] else ACCEPT) == ACCEPT
    ]


def curate(
  folder: Path, limits: Mapping[str, float], decisions_file: Path | None, with_review: bool
) -> Curated:
  """Writes the clips of a folder that are kept to `curated.jsonl`, and optionally the review page.

  The manifest and the media stay as they are. The limits are by name of the score, as in `LIMITS`;
  the decisions are a JSON file, `{"<clip id>": "accept" | "reject"}`.

  Raises:
    UserError: There are no clips, the decisions cannot be read, or the folder cannot be written.
  """
  clips = manifest.read(folder / manifest.MANIFEST)
  if not clips:
    raise UserError(f"{folder}: its manifest has no clips.")
  decided = read_decisions(decisions_file) if decisions_file else {}
  with exclusively(folder, wait=False):
    distances: dict[str, float] = {}
    unreadable: list[Clip] = []
    missing = ""
    try:
      distances, unreadable = likeness.distances(folder, clips)
    except UnavailableError as error:
      missing = f"no distances to other faces: {error}"
    clips = [clip for clip in clips if clip not in unreadable] if unreadable else clips
    for i, clip in enumerate(clips):
      if clip.id in distances:
        scores = clip.scores | {"distance": distances[clip.id]}
        clips[i] = dataclasses.replace(clip, scores=scores)
    known = {clip.id for clip in clips}
    curated = Curated(
      clips,
      {clip.id: failing(clip, limits) for clip in clips},
      {clip: decision for clip, decision in decided.items() if clip in known},
      [clip for clip in decided if clip not in known],
      [clip.id for clip in unreadable],
      missing,
    )
    if with_review:
      page = review.page(clips, curated.failing, limits, curated.decisions)
      write_whole(folder / REVIEW, page)
    manifest.write(folder / manifest.CURATED, curated.kept)
  return curated


def failing(clip: Clip, limits: Mapping[str, float]) -> list[str]:
  """Returns the names of a clip's scores that are beyond their limits."""
  return [
    name
    for name, limit in limits.items()
    if name in clip.scores
    and (clip.scores[name] < limit if name in AT_LEAST else clip.scores[name] > limit)
  ]


def read_decisions(path: Path) -> dict[str, str]:
  """Reads the decisions that a review page exported.

  Raises:
    UserError: The file is not a JSON object of clip ids and "accept" or "reject".
  """
  wanted = 'a JSON file of {"<clip id>": "accept" or "reject"}, as exported by the review page'
  try:
    decisions = from_json(path.read_text())
  except (OSError, ValueError) as error:
    raise UserError(f"--decisions={path}: cannot be read ({error}); expected {wanted}.") from error
  if not isinstance(decisions, dict):
    raise UserError(f"--decisions={path}: has a {type(decisions).__name__}; expected {wanted}.")
  for clip, decision in decisions.items():
    if decision not in (ACCEPT, REJECT):
      raise UserError(f"--decisions={path}: {clip!r} is {decision!r}; expected {wanted}.")
  return decisions


def summary(curated: Curated, folder: Path) -> str:
  """Returns a summary of what was kept of each identity, and which score cost whom how much."""
  kept = Counter(clip.identity for clip in curated.kept)
  by_identity: dict[str, list[Clip]] = collections.defaultdict(list)
  for clip in curated.clips:
    by_identity[clip.identity].append(clip)
  lines = [f"{len(curated.kept):,} of {len(curated.clips):,} clips are kept."]
  for identity, clips in by_identity.items():
    lines.append(
      f"  {kept[identity]:6,} of {len(clips):6,}  {identity}{_about(clips)}{_costs(curated, clips)}"
    )
  if lost := [identity for identity in by_identity if not kept[identity]]:
    lines.append(f"Nothing is kept of: {', '.join(lost)}.")
  if costs := _costs(curated, curated.clips):
    lines.append(f"Beyond limits{costs}.")
  decided = Counter(curated.decisions.values())
  if decided:
    lines.append(
      f"Decided in the review: {decided[ACCEPT]:,} accepted, {decided[REJECT]:,} rejected."
    )
  if curated.unknown:
    lines.append(
      f"{len(curated.unknown):,} decisions were ignored, as their clips are not in the manifest, "
      f"such as {curated.unknown[0]!r}."
    )
  if curated.unreadable:
    lines.append(
      f"{len(curated.unreadable):,} clips are left out, as their faces cannot be read, such as "
      f"{curated.unreadable[0]!r}; python -m data_builders.prepare clips makes them again."
    )
  if curated.missing:
    lines.append(curated.missing)
  return "\n".join([*lines, f"The kept clips are listed in {folder / manifest.CURATED}."])


def _about(clips: Sequence[Clip]) -> str:
  """Returns the gender and, with numbers of clips, the languages of an identity."""
  languages = Counter(clip.language for clip in clips if clip.language)
  spoken = [f"{language} {count:,}" for language, count in languages.most_common()]
  parts = filter(None, [clips[0].gender, ", ".join(spoken)])
  known = "; ".join(parts)
  return f" ({known})" if known else ""


def _costs(curated: Curated, clips: Sequence[Clip]) -> str:
  """Returns how many of the clips are beyond the limit of each score, the most first."""
  failed = Counter(name for clip in clips for name in curated.failing[clip.id])
  costs = ", ".join(f"{name} {count:,}" for name, count in failed.most_common())
  return f": {costs}" if costs else ""
