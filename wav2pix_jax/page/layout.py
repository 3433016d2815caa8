"""The page itself, with Gradio: people of this field know it, and it runs on Hugging Face Spaces.

The live part does not use Gradio's own streaming, which sends chunks that a server must keep for
each visitor. The page calls a function of the server instead (`live.js`), once for each picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from wav2pix_jax.common.errors import UserError
from wav2pix_jax.page.answers import LIMITS, Answers

HERE = Path(__file__).parent
UPLOAD = "50mb"  # the largest upload
QUEUE = 20  # people who wait, at most
KEPT = 600  # seconds for which files are kept
INTRO = """# Wav2Pix: a face from speech
A network draws the face of a speaker from each second of raw speech, as in [Wav2Pix (ICASSP 2019)](https://arxiv.org/abs/1903.10195).
It knows {speakers}. A voice that it does not know gives one of these faces all the same. {about}"""


def build(answers: Answers, speakers: list[str], about: str, examples: list[Path]) -> gr.Blocks:
  """Returns the page, to be launched.

  Args:
    answers: What computes.
    speakers: The names of those whom the network knows.
    about: Sentences about the weights, in Markdown.
    examples: Recordings to choose from.
  """
  one_at_a_time: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "sampler"}
  with gr.Blocks(title="Wav2Pix", delete_cache=(60, KEPT), analytics_enabled=False) as page:
    gr.Markdown(INTRO.format(speakers=_listed(speakers), about=about))
    with gr.Tab("A recording"):
      speech = gr.Audio(
        sources=["microphone", "upload"],
        type="filepath",
        label=f"Speech: record, upload or choose below; at most {LIMITS.seconds:g} seconds",
      )
      _refuse_addresses(speech)
      if examples:
        gr.Examples([[str(path)] for path in examples], [speech], label="Recordings to choose from")
        speech.keep_in_cache |= speech.temp_files  # `delete_cache` would delete them, too
      with gr.Row():
        draws = gr.Slider(1, 4, 1, step=1, label="Faces side by side")
        seed = gr.Number(0, precision=0, minimum=0, maximum=2**32 - 1, label="Look (a number)")
      with gr.Row():
        draw = gr.Button("Draw faces", variant="primary")
        talk = gr.Button("Make a talking face")
      faces = gr.HTML(label="Faces", elem_id="faces")
      movie = gr.Video(label="A face that speaks the recording", elem_id="movie", height=320)
    with gr.Tab("Live"):
      gr.HTML(
        html_template=(HERE / "live.html").read_text(),
        js_on_load=(HERE / "live.js").read_text(),
        server_functions=[_named("live", answers.live)],
      )
    inputs = [speech, draws, seed]
    gr.on(
      [draw.click, speech.stop_recording, speech.upload],
      _in_sentences(answers.faces),
      inputs,
      faces,
      api_name="faces",
      **one_at_a_time,
    )
    talk.click(_in_sentences(answers.talking), inputs, movie, api_name="talking", **one_at_a_time)
  return page.queue(max_size=QUEUE)


def _refuse_addresses(component: gr.components.Component) -> None:
  """Never lets the server fetch a file from an address that a client names.

  It is not a subclass, for which Gradio would write a `.pyi` file beside this one.
  """
  take = component.async_move_resource_to_block_cache

  async def take_uploads(path: Any) -> Any:
    if str(path).lower().startswith(("http:", "https:")):
      raise gr.Error("Upload the recording; the server fetches none.")
    return await take(path)

  vars(component)["async_move_resource_to_block_cache"] = take_uploads


def launch(page: gr.Blocks, host: str, port: int) -> None:
  """Serves the page until it is interrupted.

  Raises UserError if the port is taken.
  """
  try:
    page.launch(
      share=False,
      server_name=host,
      server_port=port,
      max_file_size=UPLOAD,
      show_error=True,
      quiet=True,  # it would advise to change its code
      prevent_thread_lock=True,
      ssr_mode=False,
      footer_links=[],
      css=(HERE / "page.css").read_text(),
      # Without fonts from elsewhere, so that the page works without a network.
      theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )
  except (OSError, ValueError) as error:  # the second where a proxy hides this machine from itself
    raise UserError(
      f"--host={host} --port={port} cannot be used ({error}); name another port, or unset "
      "HTTP_PROXY."
    ) from error
  print(f"The page is at {page.local_url}; Ctrl-C ends it.", flush=True)
  page.block_thread()


def _in_sentences(answer: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a function that shows a UserError on the page, as what it is: a sentence."""

  def answered(speech: str | None, draws: float, seed: float | None) -> Any:
    try:
      return answer(speech, int(draws), int(seed or 0))
    except UserError as error:
      raise gr.Error(str(error), title="That did not work") from error

  return answered


def _named(name: str, function: Callable[[dict], dict]) -> Callable[[dict], dict]:
  """Returns a function by a name, as `server_functions` needs it: of a method it takes none."""

  def called(message: dict) -> dict:
    return function(message)

  called.__name__ = name
  return called


def _listed(names: list[str]) -> str:
  *most, last = names
  return f"{', '.join(most)} and {last}" if most else last
