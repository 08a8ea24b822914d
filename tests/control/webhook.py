"""A webhook on this machine: remembers what it was sent, and answers as it is told."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Webhook:
    """Attributes:
    address: In apprise's words.
    received: Each message's headers and JSON.
    status: What it answers.
    said: The JSON that it answers with.
    delay_s: How long it takes for that.
    """

    address: str = ""
    received: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    status: int = 200
    said: Any = None
    delay_s: float = 0.0


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Run one on a free port."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.received.append((dict(self.headers), content))
            time.sleep(hook.delay_s)
            answer = json.dumps(hook.said).encode() if hook.said is not None else b""
            self.send_response(hook.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hook.address = f"json://user:hushhush@127.0.0.1:{server.server_port}/a/secretpath"
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
