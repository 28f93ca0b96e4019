from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

from protectd.api.call import Call


class SlowInput(io.BytesIO):
    """A client that sends nothing until it is let go."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.asked.set()
        assert self.go.wait(20)
        return super().read(size)


def call(body: io.BytesIO, length: int) -> Call:
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(length), "wsgi.input": body}
    return Call(None, environ)  # type: ignore[arg-type]  # a body needs no runtime


def test_a_client_that_sends_slowly_holds_nobody_up():
    slow = SlowInput(b"slow")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: call(slow, 4).raw_body)
        assert slow.asked.wait(20)
        assert call(io.BytesIO(b"quick"), 5).raw_body == b"quick"
        slow.go.set()
        assert reading.result() == b"slow"


def test_a_body_is_read_once():
    made = call(io.BytesIO(b"once"), 4)
    assert made.raw_body is made.raw_body
