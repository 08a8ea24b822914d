"""`manage.py bench`: that its figures are complete and add up. How fast the machine is, is not for a test."""

import json
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command

from control.bench.fanout_messages import HEALTHY, LEAST_SIZE, padding, read_stamp, stamped
from control.bench.ingest import Outcome
from control.bench.latency import Seen, latency
from control.bench.stream import PROBE_SYMBOLS, cycle_seconds, make_frames, probe_sent_us
from control.bench.sweep import highest, sweep
from processors import wire
from tests.services import Part, environment, manage, python, wait_until

_NOW, _SECOND, _SENT = 1_795_275_000_123, 1_795_275_000_000, 1_795_275_000_123_456


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder with a short name: a socket's path has room for a hundred bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tw-test-"))
    yield folder
    shutil.rmtree(folder)


def _bench(folder: Path, *options: str) -> dict[str, Any]:
    env = environment(folder, TMPDIR=str(folder))
    done = manage("bench", "ingest", "--workers", "1", "--symbols", "500", "--json", *options, env=env)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _assert_complete(result: dict[str, Any], rate: int, processes: set[str]) -> None:
    ends = ("unread", "malformed", "dropped", "overflowed", "failed", "lost", "in_flight")
    missing = sum(result[name] for name in ends) + sum(result["expired"].values())
    assert set(result["expired"]) == {"broker", "worker", "age"}
    assert result["sent"] == result["processed"] + missing
    assert result["sent"] > 3 * rate
    assert (result["balanced"], result["imbalance"]) == (True, {})
    assert result["nothing_lost"] == (missing == 0)
    assert (result["duplicates"], result["failed"], result["malformed"]) == (0, 0, 0)
    assert result["latency_ms"]["samples"] > 50
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] <= result["latency_ms"]["max"]
    assert set(result["processes"]) == processes
    assert all(cost["max_rss_mb"] > 1 for cost in result["processes"].values())
    assert sum(cost["cpu_share"] for cost in result["processes"].values()) == pytest.approx(1, abs=0.01)
    assert result["seconds"] >= 3
    assert (result["parameters"]["rate"], result["parameters"]["workers"]) == (rate, 1)
    assert {"cpu", "cores", "python", "valkey"} <= set(result["machine"])


def test_a_run_accounts_for_every_event_and_follows_some_to_a_socket(folder: Path) -> None:
    result = _bench(folder, "--rate", "1000", "--seconds", "3", "--socket")

    _assert_complete(result, 1000, {"feed_server", "listener", "worker1", "broker", "cache", "web"})
    assert set(result["latency_ms_by_type"]) == set(result["socket_latency_ms_by_type"]) == {"T", "Q"}
    assert "rabbitmq" in result["machine"]
    assert result["socket_latency_ms"]["samples"] > 50
    assert 0 < result["socket_latency_ms"]["p50"] <= result["socket_latency_ms"]["max"]


def test_ticks_of_the_engine_are_measured_by_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("bench", "scan", "--symbols", "100", "--scanners", "12", "--ticks", "3", "--json")
    (line,) = capsys.readouterr().out.splitlines()
    result: dict[str, Any] = json.loads(line)

    assert result["parameters"] == {"symbols": 100, "scanners": 12, "ticks": 3}
    assert (result["boards"], result["polars_threads"]) == (12, 1)
    assert list(result["tick_ms"]) == ["0%", "1%", "10%"]
    for tick in result["tick_ms"].values():
        assert {"reading", "rows", "ranking", "encoding", "publishing"} <= set(tick["steps"])
        assert 0 < tick["median"] <= tick["p99"] <= tick["max"]
    assert result["take_over_ms"]["tick"] > result["take_over_ms"]["reading"] > 0
    assert min(result["engine_rss_mb"], result["cache_mb"], result["events_a_second"]) > 0


def _fanout(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    call_command("bench", "fanout", "--seconds", "1", "--json", *options)
    (line,) = capsys.readouterr().out.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def test_messages_reach_every_client_whether_others_read_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    result = _fanout(capsys, "--clients", "4", "--stalled", "1", "--rate", "40", "--size", "300", "--web", "2")

    for part in (result["healthy"], result["with_stalled"]):
        assert part["attempted_per_second"] == 160
        assert 0 < part["delivered_per_second"] <= 160
        assert (part["lost"], part["clients_with_losses"], part["latency_ms"]["samples"]) == (0, 0, 160)
        assert 0 < part["latency_ms"]["p50"] <= part["latency_ms"]["p99"] <= part["latency_ms"]["max"]
        assert set(part["processes"]) == {"web1", "web2", "clients", "stalled clients", "publisher", "cache"}
    assert list(result["web_mb"]) == ["before", "subscribed", "healthy", "with_stalled"]
    assert result["cut_off"] == 0


def test_a_board_as_deltas_is_rebuilt_as_it_is_in_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    result = _fanout(capsys, "--board", "20", "--clients", "3", "--rate", "4", "--delta")

    assert result["rebuilt"]
    assert result["messages"]["delta"] >= 3
    assert result["bytes_a_message"]["delta"] < result["board_bytes"]
    assert 0 < result["mb_per_second"] < result["whole_mb_per_second"]
    assert 0 < result["saved"] < 1
    assert result["cut_off"] == 0


def test_a_stamp_is_read_from_a_message_of_any_size_bare_or_in_an_envelope() -> None:
    for size in (LEAST_SIZE, 2_000):
        message = stamped(padding(size), HEALTHY, _SENT)
        frame = b"before" + b'{"feed":"f","seq":12345,"type":"update","data":' + message + b"}"
        assert len(message) == size
        assert json.loads(message)["stamp"] == [HEALTHY, _SENT]
        assert read_stamp(message, size) == read_stamp(frame + b"after", len(frame)) == (HEALTHY, _SENT)
    assert read_stamp(b'{"status":"subscribed","feed":"f"}', 34) is None


def test_what_is_interrupted_leaves_nothing_behind(folder: Path) -> None:
    env = environment(folder, TMPDIR=str(folder))
    options = ("--broker", "redis", "--rate", "200", "--seconds", "60", "--workers", "1")
    with python("manage.py", "bench", "ingest", *options, env=env, log=folder / "bench.log") as part:
        wait_until(lambda: any(folder.glob("tw-bench-*/listener.log")), 30, "the listener")
        bench = psutil.Process(part.process.pid)
        # Cache, feed server, worker, listener.
        wait_until(lambda: len(bench.children(recursive=True)) >= 4, 30, "every part's start")
        children = bench.children(recursive=True)
        assert _interrupted(part) == 130

    assert "interrupted; nothing is left running" in part.output
    assert [child for child in children if child.is_running()] == []
    assert list(folder.glob("tw-bench-*")) == []


def _interrupted(part: Part) -> int:
    return part.end(signal.SIGINT, 10)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--rate", "0"), "--rate must be from 1 to 1,000,000, not 0"),
        (("--seconds", "0.5"), "--seconds must be from 1 to 3,600, not 0.5"),
        (("--workers", "65"), "--workers must be from 1 to 64, not 65"),
        (("--feeds", "bars", "--rate", "10000", "--symbols", "10"), "give more --symbols"),
        (("--broker", "kafka"), "invalid choice: 'kafka'"),
    ],
)
def test_an_option_of_ingest_that_cannot_be_used_is_named(options: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("bench", "ingest", *options)

    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--clients", "0"), "--clients must be from 1 to 10,000, not 0"),
        (("--size", "99"), "--size must be from 100 to 1,000,000, not 99"),
        (("--rate", "0"), "--rate must be from 0.1 to 10,000, not 0.0"),
        (("--stalled", "-1"), "--stalled must be from 0 to 1,000, not -1"),
        (("--web", "65"), "--web must be from 1 to 64, not 65"),
        (("--idle", "0"), "--idle must be from 1 to 50,000, not 0"),
        (("--board", "10001"), "--board must be from 1 to 10,000, not 10,001"),
        (("--delta",), "--delta is of a board: give --board ROWS too"),
        (("--idle", "5", "--board", "5"), "--idle and --board are two benches: give one of them"),
    ],
)
def test_an_option_of_fanout_that_cannot_be_used_is_named(options: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("bench", "fanout", *options)

    assert complaint in str(refusal.value)


def test_more_symbols_than_it_can_hold_are_refused() -> None:
    with pytest.raises(CommandError, match="--symbols must be from 1 to 200,000, not 200,001"):
        call_command("bench", "scan", "--symbols", "200001")


def test_the_stream_keeps_its_mix_to_the_event_and_its_bars_cover_whole_seconds() -> None:
    frames = make_frames(11_000, "mix", 500)
    events = [event for frame in frames for event in json.loads(frame.filled(_NOW, _SECOND, _SENT))]
    seconds = cycle_seconds(11_000)

    assert Counter(event["ev"] for event in events) == {
        "T": 2_000 * seconds,
        "Q": 8_000 * seconds,
        "A": 1_000 * seconds,
    }
    assert sum(frame.events for frame in frames) == len(events)
    assert {event["t"] for event in events if event["ev"] != "A"} == {_NOW}
    bars = [event for event in events if event["ev"] == "A"]
    # 1,000 bars a second of 500 symbols: the second 500 come again, as corrections of the second before.
    assert {(_SECOND - bar["s"], bar["e"] - bar["s"]) for bar in bars} == {(2_000, 1_000), (3_000, 1_000)}
    assert all(bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"] for bar in bars)


@pytest.mark.parametrize(("feeds", "names"), [("trades", wire.TRADE), ("quotes", wire.QUOTE), ("bars", wire.AGG)])
def test_a_probe_carries_its_time_through_the_long_names(feeds: str, names: wire.LongNames) -> None:
    frame = next(frame for frame in make_frames(5_000, feeds, 500) if frame.probe)
    events = json.loads(frame.filled(_NOW, _SECOND, _SENT))
    (probe,) = (event for event in events if event["sym"] in PROBE_SYMBOLS)

    assert probe_sent_us(names.of(json.dumps(probe))) == (frame.probe, _SENT)


def test_percentiles_are_values_that_occurred() -> None:
    figures = latency(Seen("T", 0, 1_000 * number) for number in range(1, 1_001))

    assert figures == {"p50": 500, "p99": 990, "p99_9": 999, "max": 1_000, "samples": 1_000}
    assert latency([]) == {"p50": None, "p99": None, "p99_9": None, "max": None, "samples": 0}


@pytest.mark.parametrize(("first", "capacity"), [(25_000, 150_000), (100_000, 7_000), (1_000, 60_000)])
def test_a_sweep_closes_in_on_what_the_system_carries(first: int, capacity: int) -> None:
    steps = sweep(lambda rate: _outcome(rate, lost=max(0, rate - capacity)), first, lambda step: None)
    best = highest(steps)

    assert best is not None
    assert capacity / 1.06 <= best["rate"] <= capacity
    assert {bool(step.reason) for step in steps if step.outcome["rate"] > capacity} == {True}


def _outcome(rate: int, lost: int) -> Outcome:
    return Outcome(
        rate=rate,
        seconds=5.0,
        sent=rate,
        received=rate,
        unread=0,
        malformed=0,
        processed=rate - lost,
        dropped=0,
        expired={},
        overflowed=0,
        failed=0,
        lost=lost,
        in_flight=0,
        duplicates=0,
        balanced=True,
        imbalance={},
        events_per_second=rate,
        sent_per_second=rate,
        kept_pace=True,
        latest_frame_ms=0.0,
        latency_ms=latency([]),
        latency_ms_by_type={},
        socket_latency_ms=None,
        socket_latency_ms_by_type={},
        probes_missing=0,
        nothing_lost=not lost,
        keeps_up=True,
        processes={},
        others_cpu_percent=0.0,
    )
