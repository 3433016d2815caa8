"""The mode `demo`: a page in the browser that draws faces from speech."""

import os
import shutil
import tempfile
from pathlib import Path

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.page.answers import Answers
from wav2pix_jax.runtime import checkpoint

PREFIX = "wav2pix_demo_"  # of folders for temporary files, which end with the process's number


def demo(workdir: Path, host: str, port: int) -> None:
  """Serves the page for the weights in a workdir, until it is interrupted.

  It shows the first paragraph of the workdir's `README.md`, and recordings of its `examples`, or of
  the held-out speech of a run.

  Temporary files are removed at the end, and those of killed processes at the start.

  Raises:
    UserError: There are no weights, Gradio is not installed, or the port cannot be used.
  """
  run = checkpoint.load(workdir)
  examples = sorted((workdir / "examples").glob("*.wav"))
  examples = examples or sorted((workdir / "samples" / "held_out").glob("*.wav"))
  card = workdir / "README.md"
  text = card.read_text("utf-8", "replace") if card.is_file() else ""
  paragraphs = text.split("\n\n")
  about = next((text for text in paragraphs if not text.startswith(("#", "---"))), "")
  with _folder() as folder:
    os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
    try:
      from wav2pix_jax.page import layout
    except ImportError as error:
      raise UserError(
        f"--mode=demo needs Gradio ({error}); install it with pip install -e '.[demo]'."
      ) from error
    answers = Answers(run.sampler, Path(folder), run.about)
    answers.warm_up()
    page = layout.build(answers, run.speakers, about, examples)
    layout.launch(page, host, port)


def _folder() -> tempfile.TemporaryDirectory:
  """Returns a new folder for temporary files, after removing those that killed processes left."""
  for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
    if not _running(int(folder.name.rpartition("_")[2])):
      shutil.rmtree(folder, ignore_errors=True)
  return tempfile.TemporaryDirectory(prefix=PREFIX, suffix=f"_{os.getpid()}")


def _running(process: int) -> bool:
  """Whether a process runs that is not this one, whose number another one may have had."""
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    return True
  return process != os.getpid()
