"""Frames in at the feed's WebSocket, rows out at ours: every part of the system between two ends."""

import json
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from websockets.sync.client import connect

from listener.recording import RecordingWriter
from processors.sessions import trading_day
from tests.integration.pipeline import Pipeline

_DAY = trading_day(date(2026, 11, 20))


# One start of a process for all of it.
_VIEWER = """
from django.contrib.auth.models import Group, User
from django.core.management import call_command
Group.objects.get(name="viewer").user_set.add(User.objects.create_user("ann"))
call_command("issue_token", "ann", days=1)
"""


def _recording(path: Path) -> None:
    """Three symbols with known closes of the day before, and a bar each just after the open."""
    assert _DAY is not None
    closes = {"ZZA": 10.0, "ZZB": 20.0, "ZZC": 5.0}
    prices = {"ZZA": 12.0, "ZZB": 21.0, "ZZC": 4.0}
    with RecordingWriter(path) as writer:
        writer.reference(_DAY.open, {symbol: {"prev_day_close": close} for symbol, close in closes.items()})
        writer.frame(
            _DAY.open + 2_000,
            [
                {
                    "ev": "A",
                    "sym": symbol,
                    "v": 100,
                    "av": 1_000 * number,
                    "op": price,
                    "vw": price,
                    "a": price,
                    "o": price,
                    "c": price,
                    "h": price,
                    "l": price,
                    "z": 100,
                    "s": _DAY.open,
                    "e": _DAY.open + 1_000,
                }
                for number, (symbol, price) in enumerate(prices.items(), 1)
            ],
        )


@pytest.mark.parametrize("pipeline", ["rabbitmq", "embedded"], indirect=True)
def test_a_client_of_the_old_protocol_sees_the_three_boards(pipeline: Pipeline, tmp_path: Path) -> None:
    recording = tmp_path / "open.ndjson.zst"
    _recording(recording)
    pipeline.migrate()
    token = pipeline.manage("shell", "-v", "0", "-c", _VIEWER)
    pipeline.start("replay", "manage.py", "replay", str(recording), "--port", str(pipeline.port)).wait_for("listening")
    pipeline.start(
        "jobs", "-m", "celery", "-A", "project", "worker", "--pool", "solo", "-Q", "jobs", "-n", f"jobs-{pipeline.port}"
    )
    worker = pipeline.worker(1)
    pipeline.engine()
    # Its one frame lives for five seconds.
    worker.wait_for(" ready.")
    pipeline.start("listen", "manage.py", "listen")

    expected = {
        "scanners:top_volume": ["ZZC", "ZZB", "ZZA"],
        "scanners:top_gainers": ["ZZA", "ZZB"],
        "scanners:top_gappers": ["ZZA", "ZZB"],
    }
    with connect(f"ws://127.0.0.1:{pipeline.web()}/ws") as socket:
        # Sent back to back, without a look at the answers.
        requests = [{"action": "auth", "api_key": token}]
        requests += [{"action": "get", "cache": name} for name in expected]
        requests += [{"action": "subscribe", "feed": name} for name in expected]
        for request in requests:
            socket.send(json.dumps(request))
        boards: dict[str, list[str]] = {}
        statuses: list[dict[str, Any]] = []
        bare: list[list[dict[str, Any]]] = []
        deadline = monotonic() + 40
        while boards != expected and monotonic() < deadline:
            message = json.loads(socket.recv(timeout=10))
            if isinstance(message, list):
                bare.append(message)
                for name in expected:
                    socket.send(json.dumps({"action": "get", "cache": name}))
            elif "status" in message:
                statuses.append(message)
            else:
                boards[message["cache"]] = [row["symbol"] for row in message["data"] or []]

    assert boards == expected
    assert statuses == [{"status": "authorized"}, *({"status": "subscribed", "feed": name} for name in expected)]
    top = next(rows for rows in reversed(bare) if rows and rows[0]["symbol"] == "ZZA")[0]
    assert (top["rank"], top["price"], top["session"], top["trading_day"]) == (1, 12.0, "regular", "2026-11-20")
    assert top["pct_change"] == pytest.approx(20.0)
    assert top["gap_pct"] == pytest.approx(20.0)
