"""The page on which clips are looked at, heard, accepted and rejected."""

import hashlib
import json
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_builders.prepare.manifest import Clip

TEMPLATE = Path(__file__).with_name("review.html")
PLACE = "/*DATA*/null"


def page(
  clips: Sequence[Clip],
  failing: Mapping[str, Sequence[str]],
  limits: Mapping[str, float],
  decisions: Mapping[str, str],
) -> str:
  """One HTML file, to lie beside the manifest; it names media by relative path and needs no server.

  Args:
    clips: all.
    failing: by id, the scores beyond their limits.
    limits: by score.
    decisions: by id, those taken before.
  """
  identities = {clip.identity: clip.gender for clip in clips}
  number = {identity: i for i, identity in enumerate(identities)}
  scores = [name for name in limits if any(name in clip.scores for clip in clips)]
  data = {
    "identities": list(identities.items()),
    "scores": scores,
    "limits": [limits[name] for name in scores],
    "clips": [
      [
        clip.id,
        number[clip.identity],
        _address(clip.face),
        _address(clip.speech),
        [clip.scores.get(name) for name in scores],
        [scores.index(name) for name in failing[clip.id]],
      ]
      for clip in clips
    ],
    "decisions": dict(decisions),
    "version": hashlib.sha256(json.dumps(decisions, sort_keys=True).encode()).hexdigest()[:8],
  }
  # a name may have "</script>" in it
  content = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
  return TEMPLATE.read_text().replace(PLACE, content)


def _address(path: str) -> str:
  """A relative path as a page's address; names of files are bytes, and need not be UTF-8."""
  return urllib.parse.quote(os.fsencode(path))
