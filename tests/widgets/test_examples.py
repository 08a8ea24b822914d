"""The programs in docs/examples run as they are written."""

import json
import re
import sys
from pathlib import Path

import pytest
import redis

from tests.services import Part, environment, python, running, wait_until
from tests.widgets.board_publisher import BoardPublisher
from tests.widgets.serving import Web, new_token

_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def board(cache: "redis.Redis") -> BoardPublisher:
    return BoardPublisher(cache, "top_gainers")


@pytest.fixture
def env(web: Web, tmp_path: Path) -> dict[str, str]:
    return environment(
        tmp_path, TAPEWATCH_URL=f"ws://127.0.0.1:{web.port}/ws", TAPEWATCH_TOKEN=new_token("trader"), NO_PROXY="*"
    )


def test_the_examples_show_what_happens(
    env: dict[str, str], tmp_path: Path, cache: "redis.Redis", board: BoardPublisher
) -> None:
    board.show(AAA=1.25, BBB=2.5)
    cache.set("status", '{"session":"regular"}')
    raw = (sys.executable, "docs/examples/raw_protocol.py", "top_gainers")
    with (
        python("-m", "docs.examples.board", "top_gainers", env=env, log=tmp_path / "board.log") as rows,
        python("-m", "docs.examples.frame", "top_gainers", env=env, log=tmp_path / "frame.log") as frame,
        python("-m", "docs.examples.alerts", env=env, log=tmp_path / "alerts.log") as alerts,
        running(raw, env=env, log=tmp_path / "raw.log") as protocol,
    ):
        rows.wait_for("AAA      1.25")
        frame.wait_for("┆ BBB")
        alerts.wait_for("session: regular")
        protocol.wait_for("status: {'session': 'regular'}")
        protocol.wait_for("scanners:top_gainers 1 snapshot: AAA BBB")
        board.show(BBB=2.75, AAA=1.25)
        alert = {"rule": "momentum", "symbol": "BBB", "price": 2.75}
        wait_until(lambda: cache.publish("alerts", json.dumps(alert)), what="a listener to alerts")
        rows.wait_for("1  BBB      2.75")
        frame.wait_for("2.75")
        alerts.wait_for("alert momentum: BBB at 2.75")
        protocol.wait_for("scanners:top_gainers 2 delta: BBB AAA")
        assert [part.process.poll() for part in (rows, frame, alerts, protocol)] == [None] * 4


def test_the_program_in_the_readme_runs(
    env: dict[str, str], tmp_path: Path, cache: "redis.Redis", board: BoardPublisher
) -> None:
    board.show(AAA=1.25)
    program = next(text for text in _PYTHON.findall(Path("README.md").read_text("utf-8")) if "widgets.client" in text)
    for written, meant in (
        ("ws://127.0.0.1:8000/ws", env["TAPEWATCH_URL"]),
        ('"TOKEN"', repr(env["TAPEWATCH_TOKEN"])),
    ):
        assert written in program
        program = program.replace(written, meant)
    with python("-c", program, env=env, log=tmp_path / "readme.log") as shown:
        shown.wait_for("1 AAA 1.25")
        board.show(BBB=2.5, AAA=1.25)
        shown.wait_for("1 BBB 2.5")


def test_the_examples_say_what_is_wrong(env: dict[str, str], tmp_path: Path) -> None:
    env["TAPEWATCH_TOKEN"] = "none"

    def ended(part: Part) -> str:
        assert part.process.wait(20) == 1
        return part.output

    with (
        python("-m", "docs.examples.board", env=env, log=tmp_path / "board.log") as rows,
        running((sys.executable, "docs/examples/raw_protocol.py"), env=env, log=tmp_path / "raw.log") as protocol,
    ):
        assert ended(rows) == "Tapewatch does not take the token: invalid key.\n"
        assert "4401" in ended(protocol).splitlines()[-1]
