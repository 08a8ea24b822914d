"""A batch followed through all parts: under one id in their logs, in one trace, and in the figures of its way."""

import json
import urllib.request
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from websockets.sync.client import connect as connect_socket

from control.batch_latency import STAGES, batch_latency
from control.models import ApiToken
from listener.recording import RecordingWriter
from processors.sessions import trading_day
from tests.integration.pipeline import Pipeline
from tests.otlp_receiver import receiving_traces
from tests.rights import new_user
from tests.services import Part, wait_until

_VENDOR_KEY = "vendor-key-0123456789"


def _recording(path: Path) -> None:
    """A print each quarter of a second."""
    day = trading_day(date(2026, 11, 20))
    assert day is not None
    with RecordingWriter(path) as writer:
        for number in range(40):
            at = day.open + 250 * number
            writer.frame(at, [{"ev": "T", "sym": "ZZA", "p": 10.0, "s": 100, "t": at, "q": number + 1, "x": 4, "z": 1}])


def _lines(part: Part) -> list[dict[str, Any]]:
    """The log's lines, each of which is a JSON object; Celery says hello in its own way, on the other stream."""
    return [json.loads(line) for line in part.output.splitlines() if line.startswith("{") and line.endswith("}")]


def _batches(part: Part, event: str) -> dict[str, dict[str, Any]]:
    """What a part's log says of batches, by their ids."""
    return {line["batch"]: line for line in _lines(part) if line["event"] == event}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pipeline", ["embedded"], indirect=True)
def test_a_batch_is_followed_from_the_frame_to_the_sockets(pipeline: Pipeline, tmp_path: Path) -> None:
    recording = tmp_path / "prints.ndjson"
    _recording(recording)
    pipeline.env |= {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "MASSIVE_API_KEY": _VENDOR_KEY}
    token = ApiToken.issue(new_user("ann"))[1]
    with receiving_traces() as traces:
        pipeline.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.address, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        worker = pipeline.worker(1)
        port = pipeline.web(DATABASE_URL=f"sqlite:///{connection.settings_dict['NAME']}")
        web = pipeline.parts["web"]
        replay = pipeline.start("replay", "manage.py", "replay", str(recording), "--port", str(pipeline.port))
        replay.wait_for("listening")
        worker.wait_for("ready")
        with connect_socket(f"ws://127.0.0.1:{port}/ws") as socket:
            for request in ({"action": "auth", "api_key": token}, {"action": "subscribe", "feed": "stocks:trades:ZZA"}):
                socket.send(json.dumps(request))
                assert json.loads(socket.recv(timeout=20))["status"] in ("authorized", "subscribed")
            listener = pipeline.start("listen", "manage.py", "listen")
            assert json.loads(socket.recv(timeout=60))["symbol"] == "ZZA"
            wait_until(lambda: "deliver" in traces.names(), 40, "the last span of a batch")
            _ask(port, token)
            wait_until(lambda: "GET /api/v1/scanners" in traces.names(), 20, "the request's span")

        published = _batches(listener, "a batch is published")
        merged = _batches(worker, "a batch is done with")
        delivered = _batches(web, "a batch's messages are written to the sockets")
        (trace,) = traces.holding("deliver")[:1]
        # The trace has the batch's own id, by which all logs are searched.
        assert all(trace in batches for batches in (published, merged, delivered))
        assert merged[trace]["outcome"] == "applied"
        assert {line["feed"] for line in (published[trace], merged[trace], delivered[trace])} == {"trades"}
        way = [delivered[trace][stage] for stage in ("collect_ms", "queue_ms", "merge_ms", "socket_ms")]
        assert min(way) >= 0
        assert delivered[trace]["total_ms"] == pytest.approx(sum(way), abs=0.1)
        # Shown at DEBUG every batch is followed, of which one a second and feed is measured.
        assert len(delivered) > len(traces.holding("deliver"))

        spans = {span.name: span for span in traces.spans(trace)}
        assert spans["batch"].parent_span_id == b""
        for child, parent in (("publish", "batch"), ("merge", "publish"), ("deliver", "merge")):
            assert spans[child].parent_span_id == spans[parent].span_id
            assert spans[child].end_time_unix_nano >= spans[child].start_time_unix_nano
        assert traces.services() == {"tapewatch-listener", "tapewatch-worker", "tapewatch-web"}

        latency = batch_latency(pipeline.store.redis)
        assert set(latency.stages) == set(STAGES) == set(latency.feeds["trades"])
        assert 0 < latency.stages["frame_to_socket"].p50 < 5_000
        for part in (listener, worker, web):
            assert _VENDOR_KEY not in part.output
            assert token not in part.output


def _ask(port: int, token: str) -> None:
    """A request over the API takes up its caller's trace, and keeps its id."""
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "asked-by-hand", "traceparent": parent}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/scanners", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.headers["X-Request-ID"] == "asked-by-hand"
