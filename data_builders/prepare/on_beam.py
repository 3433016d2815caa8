"""Cuts videos on Apache Beam: the same function of one video, on the workers of any runner."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from data_builders.prepare import cut, cut_all, videos
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import INCOMPLETE


def run_on(flags: Sequence[str], out: Path) -> cut_all.Run:
  """Returns a function like `cut_all.run_here` that cuts videos on a Beam runner.

  `flags` are Beam's, `--runner=NAME` and those of the runner. All workers need access to the videos
  and to `out` by these paths: they write the clips, and only reports go through the pipeline.

  Raises:
    UserError: Apache Beam is not installed. The returned function raises it if the pipeline fails.
  """
  try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
  except ImportError as error:
    raise UserError(
      "--runner needs Apache Beam; pip install -e '.[beam]', or leave --runner out."
    ) from error

  def run(work: cut_all.Work, found: Sequence[videos.Video]) -> list[cut.VideoReport]:
    reports = out.resolve() / f"reports.{INCOMPLETE}"
    reports.mkdir()
    try:
      with beam.Pipeline(options=PipelineOptions(list(flags))) as pipeline:
        _ = (
          pipeline
          | "Videos" >> beam.Create(found)
          | "Spread" >> beam.Reshuffle()
          | "Cut" >> beam.Map(work)
          | "As JSON" >> beam.Map(lambda report: json.dumps(dataclasses.asdict(report)))
          | "Report" >> beam.io.WriteToText(str(reports / "part"))
        )
      lines = [line for part in reports.glob("part*") for line in part.read_text().splitlines()]
    except Exception as error:  # runners raise exceptions of any kind
      reason = str(error).strip().splitlines()[-1]
      raise UserError(f"{' '.join(flags)}: the pipeline failed ({reason}).") from error
    finally:
      shutil.rmtree(reports)
    return [cut.VideoReport(**json.loads(line)) for line in lines]

  return run
