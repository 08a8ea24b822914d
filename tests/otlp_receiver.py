"""A collector of traces: OTLP over HTTP, on the loopback interface."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Traces:
    """What has come in.

    Attributes:
        address: Where to send spans.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._received: list[Any] = []

    def take(self, body: bytes) -> None:
        """Take in a portion of spans."""
        self._received += ExportTraceServiceRequest.FromString(body).resource_spans

    def spans(self, trace: str | None = None) -> list[Any]:
        """All spans, or those of one trace."""
        return [
            span
            for resource in list(self._received)
            for scope in resource.scope_spans
            for span in scope.spans
            if trace is None or span.trace_id.hex() == trace
        ]

    def names(self) -> set[str]:
        """What the spans are called."""
        return {span.name for span in self.spans()}

    def holding(self, name: str) -> list[str]:
        """The traces that hold a span of that name, by id."""
        return [span.trace_id.hex() for span in self.spans() if span.name == name]

    def services(self) -> set[str]:
        """Who has sent some."""
        return {
            attribute.value.string_value
            for resource in list(self._received)
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }


@contextmanager
def receiving_traces() -> Iterator[Traces]:
    """A collector that runs."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            traces.take(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    traces = Traces(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield traces
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
