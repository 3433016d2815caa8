"""`report.html`: the results of an evaluation with faces and speech, in a single file."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wav2pix_jax import metrics
from wav2pix_jax.common import audio, images
from wav2pix_jax.common.files import fill_template

TEMPLATE = Path(__file__).with_name("report.html")


@dataclasses.dataclass(frozen=True)
class Example:
  """A chunk of speech with its faces."""

  identity: int  # label of the speaker
  speech: np.ndarray  # int16 [T], 16 kHz
  real: np.ndarray  # the real face, uint8 [S, S, 3]
  generated: np.ndarray  # samples, uint8 [draws, S, S, 3]


def page(
  title: str,
  about: str,
  parts: Mapping[str, Any],
  names: Sequence[str],
  examples: Sequence[Example],
) -> str:
  """Returns an HTML page that needs no other file and no server.

  Below the title there is the line `about`. The parts are the content of `metrics.json`, by split
  and noise, and the names those of the identities. Examples are shown in their order for each
  identity.
  """
  data = {
    "title": title,
    "about": about,
    "people": list(names),
    "parts": [_part(split, part) for split, part in parts.items()],
    "examples": [
      {
        "who": example.identity,
        "speech": _data_url("audio/wav", audio.wav(example.speech)),
        "real": _picture(example.real),
        "drawn": [_picture(face) for face in example.generated],
      }
      for example in examples
    ],
  }
  return fill_template(TEMPLATE, data)


def _part(split: str, part: Mapping[str, Any]) -> dict[str, Any]:
  rows = [
    part["rows"][metric.name] | {"title": metric.title, "share": metric.kind == metrics.Kind.SHARE}
    for metric in metrics.METRICS
    if metric.name in part["rows"]
  ]
  reasons: dict[str, list[str]] = {}
  for name, reason in part["missing"].items():
    reasons.setdefault(reason, []).append(metrics.TITLES[name])
  return dict(part) | {"split": split, "rows": rows, "missing": list(reasons.items())}


def _picture(face: np.ndarray) -> str:
  return _data_url("image/jpeg", images.encode_jpeg(face))


def _data_url(kind: str, content: bytes) -> str:
  return f"data:{kind};base64,{base64.b64encode(content).decode()}"
