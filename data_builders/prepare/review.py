"""Writes the page on which clips are seen, heard, accepted and rejected."""

import hashlib
import json
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_builders.prepare.manifest import Clip
from wav2pix_jax.common.files import fill_template

TEMPLATE = Path(__file__).with_name("review.html")


def page(
  clips: Sequence[Clip],
  failing: Mapping[str, Sequence[str]],
  limits: Mapping[str, float],
  decisions: Mapping[str, str],
) -> str:
  """Returns an HTML page that works without a server, to be written beside the manifest.

  It refers to the clips' media by relative paths. By clip id there are the names of the scores
  beyond their limits (`failing`), and earlier decisions, "accept" or "reject".
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
  return fill_template(TEMPLATE, data)


def _address(path: str) -> str:
  """Returns the URL of a relative path. File names are bytes, and need not be UTF-8."""
  return urllib.parse.quote(os.fsencode(path))
