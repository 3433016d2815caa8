"""A site on loopback to download from: it serves files, moves, is busy, or refuses."""

import contextlib
import http.server
import threading
from email.utils import formatdate


class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    site, path = self.server.site, self.path
    self.server.asked.append((path, self.headers.get("Range")))
    self.server.cookies.append(self.headers.get("Cookie"))
    if path in self.server.moved:
      self.send_response(302)
      self.send_header("Location", self.server.moved[path])
      self.end_headers()
      return
    if self.server.busy.get(path) == [asked for asked, _ in self.server.asked].count(path):
      self.send_error(503)
      return
    if path in self.server.refused:
      self.send_error(429)
      return
    if path not in site:
      self.send_error(404)
      return
    kind, content = site[path]
    first = 0
    wanted = self.headers.get("Range")
    if wanted:
      first = int(wanted.removeprefix("bytes=").split("-")[0])
    self.send_response(206 if first else 200)
    self.send_header("Content-Type", kind)
    self.send_header("Accept-Ranges", "bytes")
    self.send_header("Last-Modified", formatdate(0, usegmt=True))
    if first:
      self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    self.send_header("Content-Length", str(len(content) - first))
    self.end_headers()
    if self.command == "GET":
      self.wfile.write(content[first:])

  do_HEAD = do_GET  # noqa: N815

  def log_message(self, *_):
    pass


@contextlib.contextmanager
def serving():
  """Yields a server: `site` is what it serves, by path, as (type, content), and `base` its URL."""
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
    served.base = f"http://127.0.0.1:{served.server_port}"
    served.site, served.asked, served.moved, served.busy = {}, [], {}, {}
    served.refused, served.cookies = set(), []
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
      yield served
    finally:
      served.shutdown()
      thread.join()


def feed(base, names):
  items = "".join(
    f"<item><title>{name} é</title><link>{base}/{name}.mp4</link></item>" for name in names
  )
  return f'<?xml version="1.0"?><rss version="2.0"><channel><title>c</title>{items}</channel></rss>'
