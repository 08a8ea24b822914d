"""Where the operator sees what nobody knows and what could not be used: `stats`, in words and as JSON."""

import json
from io import StringIO
from time import time_ns
from typing import Any

import pytest
from django.core.management import call_command

from processors.snapshots import snapshot
from processors.store import Store, default_store
from project.embedded import EmbeddedValkey
from tests.processors.feeding import Event, batch, begin, feed_in


def _said(*arguments: str) -> str:
    out = StringIO()
    call_command("stats", *arguments, stdout=out)
    return out.getvalue()


def _stats() -> dict[str, Any]:
    stats: dict[str, Any] = json.loads(_said("--json"))
    return stats


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    """The store of the feed tasks, with a source."""
    begin(default_store())
    return default_store()


def _unknown(*events: Event | bytes) -> None:
    feed_in(("unknown", batch(events, seq=time_ns() // 1_000)))


def test_with_nothing_to_show_there_is_nothing(store: Store) -> None:
    stats = _stats()
    assert stats["unknown"] == stats["malformed"] == []
    assert "unknown types" not in _said()
    assert "could not be used" not in _said()


def test_each_unknown_type_is_shown_with_its_newest_event(store: Store) -> None:
    _unknown({"ev": "NEW", "n": 1}, {"ev": "OTHER"})
    _unknown({"ev": "NEW", "n": 2}, b'{"a":"without a type"}')
    unknown = _stats()["unknown"]
    assert [(entry["type"], entry["kept"]) for entry in unknown] == [("", 1), ("NEW", 2), ("OTHER", 1)]
    assert json.loads(unknown[1]["sample"]) == {"ev": "NEW", "n": 2}
    whole = snapshot(store, unknown[1]["key"])
    assert whole is not None
    assert json.loads(whole) == {"ev": "NEW", "n": 2}
    said = _said()
    assert f"NEW: 2 kept, newest {unknown[1]['key']}" in said
    assert '{"ev":"NEW","n":2}' in said


def test_a_flood_of_one_type_does_not_hide_another_nor_does_a_long_event_fill_the_page(store: Store) -> None:
    _unknown({"ev": "RARE"})
    _unknown(*[{"ev": "FLOOD", "n": n, "x": "y" * 5_000} for n in range(900)])
    unknown = _stats()["unknown"]
    assert [(entry["type"], entry["kept"]) for entry in unknown] == [("FLOOD", 900), ("RARE", 1)]
    assert len(unknown[0]["sample"]) == 500
    assert len(_said()) < 5_000


def test_what_is_no_longer_kept_is_not_shown(store: Store) -> None:
    _unknown({"ev": "NEW"})
    for key in store.redis.scan_iter("unknown:*"):
        store.redis.delete(key)
    assert _stats()["unknown"] == []


def test_each_reason_is_shown_once_with_its_last_event(store: Store) -> None:
    for n in range(3):
        feed_in(("trades", batch([{"ev": "T", "sym": "A B", "t": 1, "p": 1, "n": n}, {"ev": "T", "sym": "A"}])))
    malformed = _stats()["malformed"]
    assert [(entry["feed"], entry["reason"]) for entry in malformed] == [
        ("trades", "'A B' is no symbol"),
        ("trades", "Object missing required field `p`"),
    ]
    assert json.loads(malformed[0]["sample"])["n"] == 2
    said = _said()
    assert "trades: 'A B' is no symbol" in said
    assert '"n":2' in said


def test_a_terminal_is_told_nothing_that_it_would_obey(store: Store) -> None:
    _unknown(b'{"ev":"NEW","x":"\x1b]0;owned\x07\nsecond line"}')
    sample = _stats()["unknown"][0]["sample"]
    assert "\x1b" in sample
    said = _said()
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "owned�" in said
