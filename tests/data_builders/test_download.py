"""Channels to videos, from a server on loopback: bounded, resumed, their origin kept."""

import errno
import json
import os
import sys

import films
import loopback
import pytest

from data_builders.prepare import download, videos
from data_builders.prepare.__main__ import main

pytestmark = pytest.mark.slow

pytest.importorskip("yt_dlp", reason="yt-dlp is not installed; it is in the extra download")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
  path = tmp_path_factory.mktemp("film") / "film.mp4"
  films.make(path, seconds=5)
  return path.read_bytes()


@pytest.fixture
def server(film):
  """Two channels as feeds, of three videos and one; of the first the second is gone."""
  with loopback.serving() as served:
    feeds = {"/ana.rss": ("a1", "gone", "a2", "a3"), "/bo.rss": ("b1",)}
    served.site = {f"/{name}.mp4": ("video/mp4", film) for name in ("a1", "a2", "a3", "b1")} | {
      feed: ("application/rss+xml", loopback.feed(served.base, names).encode())
      for feed, names in feeds.items()
    }
    yield served


def _table(folder, server, text):
  path = folder / "channels.csv"
  path.write_text(text.replace("BASE", server.base), encoding="utf-8")
  return path


def _download(table, out, *more):
  return main(["download", f"--channels={table}", f"--out={out}", *more])


BOTH = "\ufeffName,Gender,Channel-URL\nana,female,BASE/ana.rss\n\"bo 'é'\",male,BASE/bo.rss\n"


def test_channels_become_videos_with_what_is_known_of_them(server, film, tmp_path, capsys):
  raw = tmp_path / "raw"
  assert _download(_table(tmp_path, server, BOTH), raw) == 1
  said = capsys.readouterr().out
  assert "4 videos were downloaded, 0 existed before" in said
  assert "1 problems" in said
  (line,) = (raw / "download.jsonl").read_text().splitlines()
  assert json.loads(line)["name"] == "ana"
  assert "gone.mp4" in line
  assert "404" in line
  found = videos.find(raw)
  assert [video.name for video in found] == [
    *("ana/a1.mp4", "ana/a2.mp4", "ana/a3.mp4"),
    "bo 'é'/b1.mp4",
  ]
  assert all(video.path.read_bytes() == film for video in found)
  assert videos.read_genders(raw) == {"ana": "female", "bo 'é'": "male"}
  known = json.loads((raw / "ana" / "a1.info.json").read_text())
  assert known["id"] == "a1"
  assert known["webpage_url"] == f"{server.base}/a1.mp4"
  assert known["title"] == "a1 é"
  assert known["license"] is None
  assert known["upload_date"] == "19700101"
  assert known["retrieved"].startswith("20")

  assert [path for path, _ in server.asked].count("/a1.mp4") == 2  # a look, and the video
  server.asked.clear()
  assert _download(tmp_path / "channels.csv", raw) == 1
  assert "0 videos were downloaded, 4 existed before" in capsys.readouterr().out
  assert [path for path, _ in server.asked].count("/a1.mp4") == 1


def test_no_more_than_asked_for(server, tmp_path):
  raw = tmp_path / "raw"
  table = _table(tmp_path, server, BOTH)
  assert _download(table, raw, "--videos=1") == 0
  assert [video.name for video in videos.find(raw)] == ["ana/a1.mp4", "bo 'é'/b1.mp4"]
  assert not (raw / ".partial").exists()


def test_a_channel_that_moved_is_followed(server, tmp_path):
  server.moved["/old"] = "/ana.rss"
  raw = tmp_path / "raw"
  table = _table(tmp_path, server, "Name,Gender,Channel-URL\nana,female,BASE/old\n")
  assert _download(table, raw, "--videos=3") == 1
  assert [video.name for video in videos.find(raw)] == ["ana/a1.mp4", "ana/a2.mp4"]


def test_a_video_for_a_channel_is_a_channel_of_one(server, film, tmp_path, capsys):
  raw = tmp_path / "raw"
  table = _table(tmp_path, server, "Name,Gender,Channel-URL\nbo,male,BASE/b1.mp4\n")
  assert _download(table, raw) == 0
  assert (raw / "bo" / "b1.mp4").read_bytes() == film
  assert _download(table, raw) == 0
  assert "0 videos were downloaded, 1 existed before" in capsys.readouterr().out


def test_a_server_that_is_busy_is_asked_again(server, film, tmp_path):
  raw = tmp_path / "raw"
  table = _table(tmp_path, server, "Name,Gender,Channel-URL\nbo,male,BASE/bo.rss\n")
  server.busy["/b1.mp4"] = 2  # the first is a look
  assert _download(table, raw) == 0
  assert [path for path, _ in server.asked].count("/b1.mp4") == 3
  assert (raw / "bo" / "b1.mp4").read_bytes() == film


def test_a_full_disk_is_a_line_and_what_there_is_is_kept(server, tmp_path, monkeypatch, capsys):
  raw = tmp_path / "raw"
  table = _table(tmp_path, server, BOTH)
  assert _download(table, raw, "--videos=1") == 0
  kept = sorted(raw.rglob("*"))
  capsys.readouterr()

  def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr("yt_dlp.YoutubeDL.process_info", full)
  assert _download(table, raw) == 2
  (error,) = capsys.readouterr().err.splitlines()[-1:]
  assert "no space left; free some, and run the command again" in error
  assert set(kept) <= set(raw.rglob("*"))


def test_half_a_video_is_gone_on_with(server, film, tmp_path):
  raw = tmp_path / "raw"
  table = _table(tmp_path, server, "Name,Gender,Channel-URL\nbo,male,BASE/bo.rss\n")
  half = raw / ".partial" / "bo" / "b1.mp4.part"
  half.parent.mkdir(parents=True)
  half.write_bytes(film[: len(film) // 2])
  assert _download(table, raw) == 0
  assert (raw / "bo" / "b1.mp4").read_bytes() == film
  assert ("/b1.mp4", f"bytes={len(film) // 2}-") in server.asked
  # killed after the video, before what is known of it
  (raw / "bo" / "b1.info.json").unlink()
  server.asked.clear()
  assert _download(table, raw) == 0
  assert (raw / "bo" / "b1.info.json").exists()
  assert [path for path, _ in server.asked].count("/b1.mp4") == 1


def test_bad_rows_are_lines_and_the_rest_goes_on(server, tmp_path, capsys):
  rows = [
    ("../x", "BASE/bo.rss", "lead out"),
    ("..", "BASE/bo.rss", "lead out"),
    ("", "BASE/bo.rss", "no name"),
    ("bo", "BASE/bo.rss", ""),
    ("BO", "BASE/ana.rss", "'BO' is already that of line 5"),
    ("ftp", "ftp://127.0.0.1/x", "not a URL"),
    ("file", "file:///etc/passwd", "not a URL"),
    ("bracket", "http://[bad", "not a URL"),
    ("port", "http://127.0.0.1:x/", "not a URL"),
    ("lost", "BASE/lost.rss", "404"),
    ("-dash", "BASE/bo.rss", ""),
  ]
  text = "Name,Gender,Channel-URL\n" + "".join(f"{name},,{url}\n" for name, url, _ in rows)
  raw = tmp_path / "raw"
  assert _download(_table(tmp_path, server, text), raw) == 1
  said = capsys.readouterr().out
  problems = [json.loads(line) for line in (raw / "download.jsonl").read_text().splitlines()]
  wanted = [(name, words) for name, _, words in rows if words]
  assert len(problems) == len(wanted)
  for problem, (_, words) in zip(problems, wanted, strict=True):
    assert words in problem["problem"]
    assert problem["problem"] in said
  assert [video.name for video in videos.find(raw)] == ["-dash/b1.mp4", "bo/b1.mp4"]
  assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("Name,Channel-URL\nana,BASE/ana.rss\n", "no column Gender"),
    ("", "no column Name, Gender, Channel-URL"),
    ("Name,Gender,Channel-URL\n", "has no channels"),
    (None, "cannot be read"),
  ],
)
def test_a_table_that_is_none_is_a_line(server, tmp_path, capsys, text, said):
  table = tmp_path / "channels.csv"
  if text is not None:
    _table(tmp_path, server, text)
  assert _download(table, tmp_path / "raw") == 2
  error = capsys.readouterr().err
  assert said in error or "no such" in error.lower()
  assert len(error.splitlines()) == 1
  assert not (tmp_path / "raw").exists()


def test_without_yt_dlp_it_is_a_line(server, tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "yt_dlp", None)
  assert _download(_table(tmp_path, server, BOTH), tmp_path / "raw") == 2
  assert "pip install -e '.[download]'" in capsys.readouterr().err
  assert not (tmp_path / "raw").exists()


def test_a_number_below_one_is_refused(server, tmp_path):
  with pytest.raises(SystemExit) as left:
    _download(_table(tmp_path, server, BOTH), tmp_path / "raw", "--videos=0")
  assert left.value.code == 2


@pytest.mark.parametrize("where", ["/ana.rss", "/a1.mp4"])
def test_a_site_that_refuses_is_not_asked_again(server, tmp_path, capsys, where):
  """Neither for the channel's other videos nor for other channels."""
  server.refused.add(where)
  assert _download(_table(tmp_path, server, BOTH), tmp_path / "raw") == 1
  said = capsys.readouterr().out
  assert "--cookies-from-browser=firefox" in said
  assert "--sleep=10" in said
  assert "not asked for, since 127.0.0.1 refused before" in said
  assert not {path for path, _ in server.asked} & {"/gone.mp4", "/a2.mp4", "/bo.rss"}


def test_a_table_as_spreadsheets_write_it(server, tmp_path):
  """Semicolons and Windows' letters, as Excel in Spanish; tabs and UTF-16, as its Unicode text."""
  text = "name;GENDER;channel url\nZoë;female;BASE/bo.rss\n;;\n".replace("BASE", server.base)
  for number, content in enumerate(
    (text.encode("cp1252"), text.replace(";", "\t").encode("utf-16"), text.encode("utf-8-sig"))
  ):
    table, raw = tmp_path / f"{number}.csv", tmp_path / f"raw{number}"
    table.write_bytes(content)
    assert _download(table, raw) == 0
    assert videos.read_genders(raw) == {"Zoë": "female"}
    assert [video.name for video in videos.find(raw)] == ["Zoë/b1.mp4"]


@pytest.mark.parametrize(
  ("written", "address"),
  [
    ("@ana.sings-1", "https://www.youtube.com/@ana.sings-1"),
    ("youtube.com/@ana", "https://youtube.com/@ana"),
    ("www.youtube.com/channel/UC1?x=y", "https://www.youtube.com/channel/UC1?x=y"),
    ("http://a.b/c", "http://a.b/c"),
    ("../etc", "../etc"),
    ("ana", "ana"),
    ("@a b", "@a b"),
  ],
)
def test_addresses_as_people_write_them(written, address):
  assert download._address(written) == address


def test_flags_of_yt_dlp_are_passed_on():
  flags = ["--cookies-from-browser=firefox:me", "--proxy=socks5://h:1", "--sleep-interval=2.5"]
  assert download.passed_on(flags) == {
    "cookiesfrombrowser": ("firefox", "me", None, None),
    "proxy": "socks5://h:1",
    "sleep_interval": 2.5,
    "max_sleep_interval": 2.5,
  }
  assert download.passed_on([]) == {}


def test_cookies_reach_the_site(server, tmp_path):
  host = server.base.removeprefix("http://").partition(":")[0]
  cookies = tmp_path / "cookies.txt"
  cookies.write_text(f"# Netscape HTTP Cookie File\n{host}\tFALSE\t/\tFALSE\t0\tme\tknown\n")
  table = _table(tmp_path, server, BOTH)
  _download(table, tmp_path / "raw", f"--cookies={cookies}", "--videos=1")
  assert "me=known" in server.cookies


def test_a_warning_is_shown_once(capsys):
  logger = download._logger()
  for _ in range(3):
    logger.warning("No supported JavaScript runtime\ncould be found")
  logger.error("an error is raised, too")
  assert capsys.readouterr().err == "yt-dlp: No supported JavaScript runtime could be found\n"


def test_original_sound_comes_before_dubbed(tmp_path):
  import yt_dlp

  def sound(language, preference, bitrate):
    return {
      "format_id": language,
      "url": f"http://x/{language}",
      "ext": "m4a",
      "vcodec": "none",
      "acodec": "mp4a",
      "language": language,
      "language_preference": preference,
      "abr": bitrate,
    }

  picture = {"format_id": "v", "url": "http://x/v", "ext": "mp4", "vcodec": "avc1", "height": 480}
  formats = [picture | {"acodec": "none"}, sound("es", 10, 64), sound("en", -1, 320)]
  options = {"format": download.FORMAT, "format_sort": download.SORT, "quiet": True}
  with yt_dlp.YoutubeDL(options) as chooser:
    info = {"id": "1", "title": "t", "extractor": "x", "formats": formats}
    chosen = chooser.process_video_result(info, download=False)
  assert [part["format_id"] for part in chosen["requested_formats"]] == ["v", "es"]
  assert chosen["language"] == "es"
