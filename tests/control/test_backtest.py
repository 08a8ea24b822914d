"""Backtests: recordings with a known course, what is told about them, and what cannot be run."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from control import backtests
from control.models import Backtest
from listener.recording import RecordingWriter
from processors.backtesting import backtest
from processors.jobs import run_backtest
from processors.redis_broker import broker_client, depth
from processors.scanning.boards import ScannerRow
from processors.store import default_store
from project.queues import JOBS
from tests import day_maker
from tests.processors.feeding import at, trade

pytestmark = pytest.mark.usefixtures("valkey")

_DAY = "2024-03-12"
# Up 10 % at 09:31:10, then by the minute; at the close 12.
_COURSE = (
    *(("04:00:00.500", 10.0), ("09:31:00.000", 10.0), ("09:31:10.000", 11.0), ("09:32:00.000", 11.22)),
    *(("09:32:30.000", 9.0), ("09:36:05.000", 12.1), ("09:36:30.000", 8.0), ("09:46:10.000", 11.55)),
    *(("15:59:59.000", 12.0), ("16:00:01.000", 5.0)),
)


def _record(path: Path, course: tuple[tuple[str, float], ...] = _COURSE) -> Path:
    with RecordingWriter(path) as recording:
        begins = at(f"{_DAY} {course[0][0]}")
        recording.reference(begins, {"ZZA": {"prev_day_close": 10.0, "name": "Zza Corp"}})
        for number, (time, price) in enumerate(course):
            moment = at(f"{_DAY} {time}")
            recording.frame(moment + 20, [trade("ZZA", moment, price, 100, q=number)])
    return path


def _run(*words: str) -> str:
    output = StringIO()
    call_command("backtest", *words, stdout=output)
    return output.getvalue()


@pytest.mark.django_db
def test_an_alert_is_listed_with_the_moves_after_it_and_to_the_close(tmp_path: Path) -> None:
    path = _record(tmp_path / "day.ndjson")
    result = json.loads(_run(str(path), "--where", "pct_change >= 10", "--json"))
    first, *_ = result["alerts"]
    assert (first["symbol"], first["kind"], first["price"]) == ("ZZA", "enter", 11.0)
    assert first["told_at"] == first["at"] == at(f"{_DAY} 09:31:10.000")
    # 09:32:10 at 11.22, 09:36:10 at 12.1, 09:46:10 at 11.55, 16:00 at 12.
    assert first["moves"] == {"1m": 2.0, "5m": 10.0, "15m": 5.0, "close": 9.0909}
    (rule,) = result["rules"]
    # It enters again at 09:36:05, too soon after the first alert, and at 09:46:10.
    assert [alert["price"] for alert in result["alerts"]] == [11.0, 11.55]
    assert rule["alerts"] == 2
    assert rule["after"]["1m"] == {"count": 2, "mean": 1.0, "median": 1.0, "share_up": 0.5}
    assert rule["after"]["close"] == {"count": 2, "mean": 6.4935, "median": 6.4935, "share_up": 1.0}
    assert result["events"] == {"trades": len(_COURSE)}
    assert result["notes"] == []


@pytest.mark.django_db
def test_the_table_for_people_is_aligned_and_ends_with_a_line_a_rule(tmp_path: Path) -> None:
    path = _record(tmp_path / "day.ndjson.gz")
    lines = _run(str(path), "--where", "pct_change >= 10", "--alert-on", "leave", "--order-by", "price").splitlines()
    assert lines[0].startswith("day.ndjson.gz: 2024-03-12 04:00:00 to 16:00:01 New York, 10 events")
    titles, left, *_ = lines[2:]
    assert titles.split()[:5] == ["time", "rule", "kind", "symbol", "price"]
    assert left.split()[:5] == ["09:32:30", "where", "leave", "ZZA", "9.00"]
    assert len(titles.rstrip()) <= len(left) + len("note") + 2
    assert lines[-1].split()[:2] == ["where", "2"]


@pytest.mark.django_db
def test_a_recording_that_begins_late_says_why_nothing_alerts(tmp_path: Path) -> None:
    path = _record(tmp_path / "day.ndjson", _COURSE[1:])
    result = json.loads(_run(str(path), "--where", "pct_change >= 10", "--json"))
    assert result["alerts"] == []
    assert any("does not begin with the trading day" in note for note in result["notes"])


def test_the_same_recording_gives_the_same_list_twice(tmp_path: Path) -> None:
    day = day_maker.make_day(seed=9, symbols=30)
    with RecordingWriter(tmp_path / "made.ndjson.zst") as recording:
        recording.reference(day.frames[0][0], day.reference)
        for moment, events in day.frames:
            recording.frame(moment, events)
    scanners = [
        ScannerRow(f"all_{kind}", "price > 0", "price", limit=20, alert_on=kind, cooldown_s=60)
        for kind in ("enter", "leave", "new_high", "new_low", "halt", "resume")
    ]
    first, second = (backtest.run(tmp_path / "made.ndjson.zst", scanners, 90_000) for _ in range(2))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert all(rule.alerts for rule in first.rules)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["{missing}", "--where", "price > 1"], "cannot be read: No such file"),
        (["{other}", "--where", "price > 1"], "this is not a recording"),
        (["{day}", "--scanner", "no_such"], "There is no scanner no_such; there are: "),
        (["{day}", "--where", "pryce > 1"], "pryce"),
        (["{day}", "--where", "price"], "Scanner where cannot be used"),
        (["{day}", "--where", "price > 1", "--every", "0"], "--every takes 0.25 to 3600 seconds"),
        (["{day}", "--alert-on", "leave"], "--order-by and --alert-on go with --where"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(tmp_path: Path, words: list[str], problem: str) -> None:
    other = tmp_path / "other.txt"
    other.write_text("no recording\n", encoding="utf-8")
    files = {"day": _record(tmp_path / "day.ndjson"), "missing": tmp_path / "missing", "other": other}
    with pytest.raises(CommandError, match=problem) as refusal:
        _run(*(word.format(**files) for word in words))
    assert str(refusal.value).endswith(".")


def _ask(user: User, **asked: Any) -> Backtest:
    row = Backtest.objects.create(user=user, **asked)
    run_backtest(row.pk)
    row.refresh_from_db()
    return row


def test_a_job_carries_out_what_was_asked_for_once(admin_user: User, settings: Settings, tmp_path: Path) -> None:
    settings.RECORDINGS_DIR = tmp_path
    _record(tmp_path / "day.ndjson")
    done = _ask(admin_user, recording="day.ndjson", where="pct_change >= 10", scanners=["top_gainers"])
    assert (done.state, done.error) == (Backtest.State.DONE, "")
    assert done.started_at is not None
    assert done.result is not None
    assert [rule["rule"] for rule in done.result["rules"]] == ["where", "top_gainers"]
    assert [rule["alerts"] for rule in done.result["rules"]] == [2, 2]
    finished_at = done.finished_at
    run_backtest(done.pk)
    done.refresh_from_db()
    assert done.finished_at == finished_at


def test_one_that_has_to_wait_for_another_comes_again(admin_user: User) -> None:
    default_store().hold_lease("tw:lease:backtest", "another", 60_000)
    asked = _ask(admin_user, recording="day.ndjson")
    assert asked.state == Backtest.State.QUEUED
    assert depth(broker_client(), JOBS) == 1


def test_a_list_that_nobody_could_read_is_cut_and_says_so(
    admin_user: User, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtests, "_MOST_ALERTS", 1)
    settings.RECORDINGS_DIR = tmp_path
    _record(tmp_path / "day.ndjson")
    result = _ask(admin_user, recording="day.ndjson", where="pct_change >= 10").result
    assert result is not None
    assert (len(result["alerts"]), result["rules"][0]["alerts"]) == (1, 2)
    assert result["notes"] == ["Only the first 1 of 2 alerts are listed; the summary is of all."]


@pytest.mark.parametrize("name", ["none.ndjson", "../day.ndjson", "/etc/hostname", "..", ""])
def test_a_job_reads_nothing_outside_the_folder_of_the_recordings(
    admin_user: User, settings: Settings, tmp_path: Path, name: str
) -> None:
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    settings.RECORDINGS_DIR.mkdir()
    _record(tmp_path / "day.ndjson")
    failed = _ask(admin_user, recording=name, where="price > 1")
    assert failed.state == Backtest.State.FAILED
    assert failed.error.startswith("There is no recording")


def test_a_job_does_not_use_what_its_owner_may_not_see(
    admin_user: User, django_user_model: type[User], settings: Settings, tmp_path: Path
) -> None:
    settings.RECORDINGS_DIR = tmp_path
    _record(tmp_path / "day.ndjson")
    admin_user.scanner_set.create(slug="private", name="Private", order_by="price", where="price > 0")
    somebody = django_user_model.objects.create_user("somebody")
    assert _ask(somebody, recording="day.ndjson", scanners=["private"]).error.startswith("There is no scanner private")
    assert _ask(admin_user, recording="day.ndjson", scanners=["private"]).state == Backtest.State.DONE
