"""Downloads the videos of channels with yt-dlp, and writes each video's metadata beside it."""

import dataclasses
import datetime
import errno
import functools
import itertools
import json
import logging
import os
import re
import shutil
import sys
import unicodedata
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tqdm

from data_builders.prepare import videos
from data_builders.prepare.manifest import write_json_lines
from data_builders.prepare.videos import GENDER, NAME
from data_builders.tables import read_table
from wav2pix_jax.common.errors import UserError
from wav2pix_jax.common.files import exclusively, write_whole

URL = "Channel-URL"
COLUMNS = (NAME, GENDER, URL)  # release
REPORT = "download.jsonl"
PARTIAL = ".partial"  # the folder of unfinished downloads
KNOWN = (
  *("id", "webpage_url", "title", "license", "upload_date", "channel", "channel_url", "duration"),
  *("extractor", "language"),
)
# Dubbed sound comes after the original, which yt-dlp knows by its preference of languages.
SORT = ["lang"]
# Words of errors after which a site is not asked any more.
REFUSALS = ("not a bot", "http error 429", "too many requests", "rate-limit")
REMEDY = (
  "; the site is not asked for more. Wait some hours, then run the same command with --sleep=10, "
  "or with --cookies-from-browser=firefox where you are logged in"
)
MISSING = "download needs yt-dlp; pip install -e '.[download]'."
# The best format of at most 480 lines, or the best one if all have more.
FORMAT = "bv*[height<=480]+ba/b[height<=480]/bv*+ba/b"


@dataclasses.dataclass(frozen=True)
class Channel:
  """A row of the table of channels."""

  name: str  # name of the identity and of its folder
  gender: str  # gender of the identity, as in the table
  url: str  # URL of a channel, a playlist, a feed or a video
  problem: str = ""  # reason why the row cannot be used; empty if it can


@dataclasses.dataclass
class ChannelReport:
  """The result of downloading a channel."""

  name: str  # name of the identity
  url: str  # URL of the channel
  new: int = 0  # number of videos that were downloaded now
  before: int = 0  # number of videos that had been downloaded before
  # One line for each video that could not be downloaded.
  problems: list[str] = dataclasses.field(default_factory=list)


def read_channels(path: Path) -> list[Channel]:
  """Returns the rows of a table. Those that cannot be used have a problem.

  Raises:
    UserError: The table cannot be read, or lacks columns or rows.
  """
  rows = read_table(path, COLUMNS)
  if not rows:
    raise UserError(f"{path}: has no channels; expected one per line, as {','.join(COLUMNS)}.")
  channels, line_of = [], dict[str, int]()
  for line, row in rows:
    name = unicodedata.normalize("NFC", row[NAME])
    url = _address(row[URL])
    problem = videos.folder_problem(name)
    if not problem and (before := line_of.setdefault(name.casefold(), line)) != line:
      problem = f"the name {name!r} is already that of line {before}"
    if not problem and not _is_url(url):
      problem = f"{url!r} is not a URL with http:// or https://"
    at = f"line {line}: {problem}" if problem else ""
    channels.append(Channel(name, row[GENDER], url, at))
  return channels


def _address(text: str) -> str:
  """Returns a URL of what people write for it: `@handle` of YouTube, or an address without https.

  Other text is returned as it is.
  """
  if re.fullmatch(r"@[\w.-]+", text):
    return f"https://www.youtube.com/{text}"
  if "://" not in text and re.match(r"(\w[\w-]*\.)+[a-z]{2,}(/|$)", text, re.IGNORECASE):
    return f"https://{text}"
  return text


def _is_url(url: str) -> bool:
  try:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
  except ValueError:  # malformed brackets or port
    return False


def download(
  table: Path, out: Path, at_most: int, more: dict[str, Any] | None = None
) -> list[ChannelReport]:
  """Downloads the first videos of every channel into one folder per identity, below `out`.

  The table is a CSV file with `COLUMNS`. Of each channel there are at most `at_most` videos, those
  that exist included. Videos that exist are not downloaded again, and unfinished ones are resumed.
  Beside each video is `<id>.info.json` with the metadata `KNOWN` and the time of the download.
  Genders are written to `identities.csv`, and a line for each problem to `download.jsonl`. A site
  that takes the command for a robot, or wants fewer requests, is not asked any more. `more` are
  further options of yt-dlp, such as those of `passed_on`.

  Raises:
    UserError: The table cannot be read, the extra `download` is not installed, or `out` cannot be
      written.
  """
  channels = read_channels(table)
  try:
    import imageio_ffmpeg
    import yt_dlp  # noqa: F401
  except ImportError as error:
    raise UserError(MISSING) from error
  ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
  reports, refusing = [], set[str]()
  with exclusively(out, wait=False):
    usable = [channel for channel in channels if not channel.problem]
    videos.write_genders(out, {channel.name: channel.gender for channel in usable})
    with tqdm.tqdm(desc="Downloading", total=0, unit=" videos") as bar:
      for channel in channels:
        report = ChannelReport(channel.name, channel.url)
        reports.append(report)
        if channel.problem:
          report.problems.append(channel.problem)
          continue
        site = urllib.parse.urlsplit(channel.url).hostname or ""
        if site in refusing:
          report.problems.append(f"not asked for, since {site} refused before")
        elif _download_channel(channel, out, at_most, ffmpeg, more or {}, report, bar):
          refusing.add(site)
    lines = [
      {"name": report.name, "url": report.url, "problem": problem}
      for report in reports
      for problem in report.problems
    ]
    write_json_lines(out / REPORT, lines)
    if not lines:
      shutil.rmtree(out / PARTIAL, ignore_errors=True)
  return reports


def summary(reports: Sequence[ChannelReport], out: Path) -> str:
  """Returns a summary of what was downloaded and of the problems, for the terminal."""
  new, before = sum(report.new for report in reports), sum(report.before for report in reports)
  lines = [f"{new:,} videos were downloaded, {before:,} existed before."]
  for report in reports:
    if report.new or report.before:
      lines.append(f"  {report.new + report.before:6,}  {report.name}")
  problems = [(report.name, problem) for report in reports for problem in report.problems]
  if problems:
    lines.append(f"{len(problems):,} problems, which are also listed in {out / REPORT}:")
    lines += [f"  {name!r}: {problem}" for name, problem in problems]
  return "\n".join(lines)


def _download_channel(
  channel: Channel,
  out: Path,
  at_most: int,
  ffmpeg: str,
  more: dict[str, Any],
  report: ChannelReport,
  bar: tqdm.tqdm,
) -> bool:
  """Downloads a channel's videos, and fills in the report. Returns whether its site refuses."""
  import yt_dlp

  folder = out.resolve() / channel.name

  def show(progress: dict[str, Any]) -> None:
    megabytes = progress.get("downloaded_bytes", 0) / 1e6
    bar.set_postfix_str(f"{channel.name}, {megabytes:.1f} MB")

  options: dict[str, Any] = {
    "color": "never",
    "format": FORMAT,
    "format_sort": SORT,
    "logger": _logger(),
    "noprogress": True,
    "fragment_retries": 10,
    "retries": 10,
    "skip_unavailable_fragments": False,  # a video with gaps is of no use
    "socket_timeout": 30,
    **more,
  }
  getting = options | {
    "ffmpeg_location": ffmpeg,
    "merge_output_format": "mp4/mkv",
    "outtmpl": "%(id)s.%(ext)s",
    "paths": {"home": str(folder), "temp": str(out.resolve() / PARTIAL / channel.name)},
    "match_filter": lambda info, *, incomplete=False: "there" if _is_there(folder, info) else None,
    "playlistend": 1,
    "progress_hooks": [show],
  }
  try:
    listing = options | {"extract_flat": "in_playlist", "playlistend": at_most}
    with yt_dlp.YoutubeDL(listing) as lister:
      found = lister.extract_info(channel.url, download=False)
      listed = list(itertools.islice(_listed(lister, found), at_most))
  except Exception as error:  # of any kind: extractors and the network raise many
    refuses = _refuses(error)
    report.problems.append(_reason(error) + (REMEDY if refuses else ""))
    return refuses
  if not listed:
    report.problems.append("no videos found")
  bar.total += len(listed)
  with yt_dlp.YoutubeDL(getting) as getter:
    for entry in listed:
      try:
        if not _is_there(folder, entry) and _get(getter, entry):
          report.new += 1
        else:
          report.before += 1
      except UserError:
        raise
      except Exception as error:  # of any kind, as above
        if os.strerror(errno.ENOSPC) in str(error):
          raise UserError(f"{out}: no space left; free some, and run the command again.") from error
        url = entry.get("webpage_url") or entry.get("url")
        refuses = _refuses(error)
        report.problems.append(f"{url}: {_reason(error)}" + (REMEDY if refuses else ""))
        if refuses:
          return True
      bar.update()
  return False


def _listed(lister: Any, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
  """Yields yt-dlp's entries of the videos of a channel, for YouTube's channels tab by tab.

  Live and upcoming videos are skipped, as downloading them would take as long as they last.
  """
  if "entries" in found:
    for entry in found["entries"]:
      yield from _listed(lister, entry)
  elif found.get("ie_key") == "YoutubeTab":
    yield from _listed(lister, lister.extract_info(found["url"], download=False))
  elif found.get("live_status") not in ("is_live", "is_upcoming"):
    yield found


def _get(getter: Any, entry: dict[str, Any]) -> bool:
  """Downloads a video and writes its metadata. Returns False if it existed before."""
  info = getter.process_ie_result(entry)
  (info,) = info.get("entries", [info]) or [{}]
  got = info.get("requested_downloads")
  if not got:
    return False
  provenance = {name: info.get(name) for name in KNOWN}
  provenance["retrieved"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
  video = Path(got[0]["filepath"])
  content = json.dumps(provenance, indent=2, ensure_ascii=False)
  write_whole(video.with_name(video.stem + videos.METADATA), content + "\n")
  return True


def _is_there(folder: Path, info: dict[str, Any]) -> bool:
  """Returns whether a video is complete. Its metadata is written last."""
  from yt_dlp.utils import sanitize_filename

  name = sanitize_filename(str(info.get("id") or ""), is_id=True)
  provenance = folder / f"{name}{videos.METADATA}"
  return provenance.exists() and any(
    (folder / f"{name}{suffix}").exists() for suffix in videos.SUFFIXES
  )


@functools.cache
def _logger() -> logging.Logger:
  """Returns a logger that shows each of yt-dlp's warnings once; its errors are raised, too."""
  logger = logging.Logger("yt-dlp", logging.WARNING)
  shown = set[str]()

  def once(record: logging.LogRecord) -> bool:
    message = " ".join(record.getMessage().split())
    if record.levelno == logging.WARNING and message not in shown:
      shown.add(message)
      tqdm.tqdm.write(f"yt-dlp: {message.removeprefix('WARNING: ')}", file=sys.stderr)
    return False

  logger.addFilter(once)
  return logger


def passed_on(flags: Sequence[str]) -> dict[str, Any]:
  """Returns the options of yt-dlp for its own command-line flags; it exits where they are wrong.

  Raises UserError if the extra `download` is not installed.
  """
  if not flags:
    return {}
  try:
    import yt_dlp
  except ImportError as error:
    raise UserError(MISSING) from error
  unset, given = (yt_dlp.parse_options(list(some)).ydl_opts for some in ((), flags))
  return {name: value for name, value in given.items() if value != unset.get(name)}


def _refuses(error: Exception) -> bool:
  return any(words in str(error).lower() for words in REFUSALS)


def _reason(error: Exception) -> str:
  """Returns yt-dlp's message in one line."""
  return " ".join(str(error).removeprefix("ERROR:").split())
