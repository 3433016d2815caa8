"""Which clips are kept: limits on scores reject the obvious, and decisions of a review the rest."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_builders.prepare import likeness, manifest, review
from data_builders.prepare.manifest import Clip
from wav2pix_jax.common.dlib_faces import SAME_PERSON, UnavailableError
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, write_whole

REVIEW = "review.html"
ACCEPT, REJECT = "accept", "reject"

# The published faces, which were chosen by hand, pass: of their seconds of speech 95% have a
# modulation of 5.0 and speech of 0.49, of their faces 95% a sharpness of 2.6 and a frontality of
# 0.25 (measured here on 410 seconds and 251 faces).
AT_LEAST = {"speech": 0.4, "modulation": 3.5, "sharpness": 2.0, "size": 64, "frontality": 0.15}
AT_MOST = {"silence": 0.6, "clipping": 0.01, "faces": 1, "distance": SAME_PERSON}
LIMITS = AT_LEAST | AT_MOST


@dataclasses.dataclass(frozen=True)
class Curated:
  """What a curation kept, and why it did not keep the rest.

  Attributes:
    clips: all, with `distance` among their scores where it could be told.
    failing: by id, the scores beyond their limits.
    decisions: by id, `accept` or `reject`; they overrule limits.
    unknown: ids in the decisions that are not in the manifest.
    missing: why there are no distances; empty where there are.
  """

  clips: list[Clip]
  failing: dict[str, list[str]]
  decisions: dict[str, str]
  unknown: list[str]
  missing: str

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
  """Writes `curated.jsonl`, of the clips that are kept, and perhaps the page to review all.

  Nothing is removed: the manifest and all media stay.

  Args:
    folder: of the clips.
    limits: by score, as `LIMITS`.
    decisions_file: JSON, `{"<clip id>": "accept" | "reject"}`.
    with_review: write `review.html` too.

  Raises:
    UserError: no clips, no such decisions, or the folder cannot be written.
  """
  clips = manifest.read(folder / manifest.MANIFEST)
  if not clips:
    raise UserError(f"{folder}: its manifest has no clips; there is nothing to curate.")
  decided = read_decisions(decisions_file) if decisions_file else {}
  with exclusively(folder, wait=False):
    distances, missing = {}, ""
    try:
      distances = likeness.distances(folder, clips)
    except UnavailableError as error:
      missing = f"no distances to other faces: {error}"
    scored = [
      dataclasses.replace(clip, scores=clip.scores | {"distance": distances[clip.id]})
      if clip.id in distances
      else clip
      for clip in clips
    ]
    known = {clip.id for clip in clips}
    curated = Curated(
      scored,
      {clip.id: failing(clip, limits) for clip in scored},
      {clip: decision for clip, decision in decided.items() if clip in known},
      [clip for clip in decided if clip not in known],
      missing,
    )
    if with_review:
      page = review.page(scored, curated.failing, limits, curated.decisions)
      write_whole(folder / REVIEW, page)
    manifest.write(folder / manifest.CURATED, curated.kept)
  return curated


def failing(clip: Clip, limits: Mapping[str, float]) -> list[str]:
  """The scores of a clip that are beyond their limits; a score that it does not have is not."""
  return [
    name
    for name, limit in limits.items()
    if name in clip.scores
    and (clip.scores[name] < limit if name in AT_LEAST else clip.scores[name] > limit)
  ]


def read_decisions(path: Path) -> dict[str, str]:
  """What a review exported.

  Raises:
    UserError: not a JSON object of ids and `accept` or `reject`.
  """
  wanted = 'a JSON file of {"<clip id>": "accept" or "reject"}, as the review page exports it'
  try:
    decisions = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise UserError(f"--decisions={path}: cannot be read ({error}); name {wanted}.") from error
  if not isinstance(decisions, dict):
    raise UserError(f"--decisions={path}: has a {type(decisions).__name__}; name {wanted}.")
  for clip, decision in decisions.items():
    if decision not in (ACCEPT, REJECT):
      raise UserError(f"--decisions={path}: {clip!r} is {decision!r}; name {wanted}.")
  return decisions


def summary(curated: Curated, folder: Path) -> str:
  """What was kept of each identity, and what the rest failed, to be read."""
  every, kept = _count(curated.clips), _count(curated.kept)
  failed = Counter(name for names in curated.failing.values() for name in names)
  decided = Counter(curated.decisions.values())
  lines = [f"{len(curated.kept):,} of {len(curated.clips):,} clips are kept."]
  for (identity, gender), count in every.items():
    of = f"{identity} ({gender})" if gender else identity
    lines.append(f"  {kept[identity, gender]:6,} of {count:6,}  {of}")
  if failed:
    beyond = ", ".join(f"{name} {count:,}" for name, count in failed.most_common())
    lines.append(f"Beyond limits: {beyond}.")
  if decided:
    lines.append(f"Decided by hand: {decided[ACCEPT]:,} accepted, {decided[REJECT]:,} rejected.")
  if curated.unknown:
    lines.append(
      f"{len(curated.unknown):,} decisions are of clips that are not in the manifest, as "
      f"{curated.unknown[0]!r}; they were left out."
    )
  if curated.missing:
    lines.append(curated.missing)
  lines.append(f"{folder / manifest.CURATED} lists them.")
  return "\n".join(lines)


def _count(clips: Sequence[Clip]) -> Counter[tuple[str, str]]:
  return Counter((clip.identity, clip.gender) for clip in clips)
