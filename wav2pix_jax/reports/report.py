"""`report.html`: what an evaluation found, to look at and to listen to, in one file."""

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax.common import audio, images
from wav2pix_jax.metrics import metrics

TEMPLATE = Path(__file__).with_name("report.html")
PLACE = "/*DATA*/null"


@dataclasses.dataclass(frozen=True)
class Example:
  """A chunk of speech with its faces.

  Attributes:
    identity: label of who speaks.
    speech: int16 [T], at 16 kHz.
    real: uint8 [S, S, 3].
    drawn: uint8 [draws, S, S, 3].
  """

  identity: int
  speech: np.ndarray
  real: np.ndarray
  drawn: np.ndarray


def page(
  title: str,
  about: str,
  parts: Mapping[str, Any],
  names: Sequence[str],
  examples: Sequence[Example],
) -> str:
  """One HTML file that needs no other and no server.

  Args:
    title: of the page.
    about: a line below it.
    parts: `metrics.json`, by split.
    names: of the identities.
    examples: in the order in which they are shown for each identity.
  """
  data = {
    "title": title,
    "about": about,
    "people": list(names),
    "parts": [_part(split, part) for split, part in parts.items()],
    "examples": [
      {
        "who": example.identity,
        "speech": _address("audio/wav", audio.wav(example.speech)),
        "real": _picture(example.real),
        "drawn": [_picture(face) for face in example.drawn],
      }
      for example in examples
    ],
  }
  # a name may have "</script>" in it
  content = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
  return TEMPLATE.read_text().replace(PLACE, content)


def _part(split: str, part: Mapping[str, Any]) -> dict[str, Any]:
  rows = [
    part["rows"][name] | {"title": title, "share": name in metrics.SHARES}
    for name, title in metrics.TITLES.items()
    if name in part["rows"]
  ]
  reasons: dict[str, list[str]] = {}
  for name, reason in part["missing"].items():
    reasons.setdefault(reason, []).append(metrics.TITLES[name])
  return dict(part) | {"split": split, "rows": rows, "missing": list(reasons.items())}


def _picture(face: np.ndarray) -> str:
  return _address("image/jpeg", images.encode_jpeg(face))


def _address(kind: str, content: bytes) -> str:
  return f"data:{kind};base64,{base64.b64encode(content).decode()}"
