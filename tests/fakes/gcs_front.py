"""fake-gcs-server knows no upload of the XML interface: it gets one of the JSON interface instead."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3


@contextmanager
def gcs_front(port: int) -> Iterator[str]:
    """URL of a server that passes everything on to `port`, uploads in another dress."""

    class Front(_Front):
        target = f"http://127.0.0.1:{port}"
        pool = urllib3.PoolManager(maxsize=16, retries=False)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    target = ""
    pool: urllib3.PoolManager

    def do_GET(self) -> None:
        self._pass_on(self.path)

    do_HEAD = do_DELETE = do_GET

    def do_PUT(self) -> None:
        """`/bucket/name`, the name encoded."""
        _, bucket, name = self.path.split("/", 2)
        self.command = "POST"
        self._pass_on(f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}", upload=True)

    def _pass_on(self, path: str, upload: bool = False) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {"range", "content-type"}
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        answer = self.pool.request(
            self.command, self.target + path, headers=headers, body=body, decode_content=False
        )
        self.send_response(answer.status)
        dropped = {"content-length", "transfer-encoding", "connection"}
        for name, value in answer.headers.items():
            if name.lower() not in dropped:
                self.send_header(name, value)
        if upload:
            self.send_header("ETag", json.loads(answer.data).get("etag", "none"))
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else len(answer.data)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.data)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""
