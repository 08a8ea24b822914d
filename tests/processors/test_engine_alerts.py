"""The engine's alerts, and engines that follow each other."""

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control.models import Alert, PriceLevel
from processors import jobs
from processors.reference.state import REFERENCE_COLUMNS, ReferenceState, put_reference
from processors.scanning.engine import Engine
from processors.snapshots import snapshot
from processors.store import (
    ALERTS_OUTBOX,
    OWNERS,
    SCANS_LEASE,
    Store,
)
from project.embedded import EmbeddedValkey
from tests.processors import ticking_engine
from tests.processors.engines import OPEN, board, engine_of, entered, heard, scanner, trades
from tests.processors.feeding import at, begin
from tests.services import environment, python, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("only_our_scanners")]


def test_alerts_are_published_kept_and_stored_for_good(store: Store, listening: Any) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    scanner("dear", "price > 2", alert_on="enter")
    engine = engine_of(store)
    engine.tick()
    trades(store, ("A", 3.0), ("B", 1.0))
    engine.tick()
    engine.tick()
    messages = heard(listening)
    (alert,) = messages["alerts"]
    assert messages["alerts:dear"] == [alert]
    expected = {"rule": "dear", "kind": "enter", "symbol": "A", "at": OPEN, "price": 3.0}
    assert {name: alert[name] for name in expected} == expected
    assert (alert["row"]["symbol"], alert["row"]["trading_day"]) == ("A", "2024-03-11")
    for key in ("alerts", "alerts:dear"):
        assert msgspec.json.decode(snapshot(store, key) or b"") == [alert]
        assert 0 < store.redis.pttl(key) <= 8 * 3_600_000
    jobs.store_alerts()
    assert list(Alert.objects.values_list("id", "symbol", "row__price")) == [(alert["id"], "A", 3.0)]
    trades(store, ("B", 3.0), ("A", 1.0), t=OPEN + 1)
    engine.tick()
    assert [entry["symbol"] for entry in msgspec.json.decode(snapshot(store, "alerts", 1) or b"")] == ["B"]
    assert snapshot(store, "alerts:nothing") is None


def test_an_incomplete_day_gives_no_alerts(store: Store) -> None:
    begin(store, clock=OPEN)
    scanner("all", alert_on="enter")
    engine = engine_of(store)
    engine.tick()
    trades(store, ("A", 3.0))
    engine.tick()
    assert (board(store, "all"), entered(store)) == (["A"], [])


def test_a_price_level_of_the_database_is_followed(store: Store, django_user_model: Any) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    trades(store, ("A", 1.0))
    engine = engine_of(store)
    engine.tick()
    user = django_user_model.objects.create(username="me")
    level = PriceLevel.objects.create(user=user, symbol="A", price=2.0, direction="above", note="out")
    engine.tick()
    trades(store, ("A", 2.5), t=OPEN + 1)
    engine.tick()
    (alert,) = [msgspec.json.decode(raw) for raw in store.redis.lrange(f"alerts:level:{level.pk}", 0, -1)]
    assert (alert["kind"], alert["symbol"], alert["at"], alert["note"]) == ("level", "A", OPEN + 1, "rose to 2: out")


def test_alerts_of_somebodys_rules_go_to_him_and_not_to_everyone(
    store: Store, django_user_model: Any, listening: Any
) -> None:
    listening.psubscribe(OWNERS)
    assert listening.get_message(timeout=5.0)["type"] == "psubscribe"
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    trades(store, ("A", 1.0))
    user = django_user_model.objects.create(username="me")
    scanner("mine", "price > 2", alert_on="enter", owner=user)
    scanner("everyones", "price > 2", alert_on="enter")
    level = PriceLevel.objects.create(user=user, symbol="A", price=2.0)
    engine = engine_of(store)
    engine.tick()
    owners = {rule.decode(): int(owner) for rule, owner in store.redis.hgetall(OWNERS).items()}
    assert owners == {"mine": user.pk, "everyones": 0, f"level:{level.pk}": user.pk}
    trades(store, ("A", 2.5), t=OPEN + 1)
    engine.tick()
    rules = {
        key: sorted(msgspec.json.decode(raw)["rule"] for raw in store.redis.lrange(key, 0, -1))
        for key in ("alerts", f"alerts:user:{user.pk}", "alerts:mine", "alerts:everyones")
    }
    assert list(rules.values()) == [["everyones"], [f"level:{level.pk}", "mine"], ["mine"], ["everyones"]]
    # Whoever passes messages on knows whose they are before the first.
    channels = []
    while (message := listening.get_message(timeout=0.05)) is not None:
        channels.append(message["channel"].decode())
    assert channels.index(OWNERS) < channels.index("scanners:mine")


def test_engines_that_take_turns_lose_and_double_no_alert(store: Store) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    scanner("all", alert_on="enter", cooldown_s=0)
    scanner("few", "price > 5", alert_on="leave", cooldown_s=0)
    engines = [engine_of(store), engine_of(store)]
    engines[0].tick()
    symbols = [f"S{number:02d}" for number in range(20)]
    for number, symbol in enumerate(symbols):
        trades(store, (symbol, 1.0 + number), t=OPEN + number)
        if number % 3 == 0:
            # Whoever had the turn stands still for a while; some turns are taken over in the middle of nothing.
            store.redis.delete(SCANS_LEASE)
            engines.reverse()
        ticked = [engine.tick() for engine in engines]
        assert ticked == [True, False]
    # One that is new knows nothing but what was published.
    store.redis.delete(SCANS_LEASE)
    trades(store, ("LAST", 1.0), t=OPEN + 100)
    assert engine_of(store).tick()
    assert entered(store) == [*symbols, "LAST"]
    waiting = [msgspec.json.decode(raw)["id"] for raw in store.redis.lrange(ALERTS_OUTBOX, 0, -1)]
    assert len(waiting) == len(set(waiting)) == 21
    assert board(store, "few") == symbols[:4:-1]


def test_a_tick_that_was_written_but_not_answered_is_not_written_again(store: Store) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    scanner("all", alert_on="enter", cooldown_s=0)
    engine = engine_of(store)
    engine.tick()
    trades(store, ("A", 1.0))
    # Another process with the same lease stands for the step that was done though its answer got lost.
    twin = engine_of(store)
    store.redis.delete(SCANS_LEASE)
    assert twin.tick()
    store.redis.delete(SCANS_LEASE)
    assert not engine.tick()
    assert engine.tick()
    assert entered(store) == ["A"]


def test_yesterdays_reference_data_are_not_shown_on_the_new_day(store: Store) -> None:
    begin(store)
    scanner("all")
    state = ReferenceState("simulator:1", 20240311, 1, 1.0)
    row = msgspec.msgpack.encode([4.0] * len(REFERENCE_COLUMNS) + ["Alpha", "XNAS"])
    put_reference(store, state, {"A": row})
    trades(store, ("A", 6.0))
    engine = engine_of(store)

    def shown() -> tuple[Any, ...]:
        engine.tick()
        (only,) = msgspec.json.decode(store.redis.get("scanners:all"))
        return only["prev_day_close"], only["pct_change"], only["name"]

    assert shown() == (4, 50, "Alpha")
    trades(store, ("A", 8.0), t=at("2024-03-12 04:00:00.000"))
    assert shown() == (None, None, "Alpha")
    put_reference(store, msgspec.structs.replace(state, day=20240312), {"A": row})
    assert shown() == (4, 100, "Alpha")


def test_two_seconds_after_an_engines_last_tick_another_has_the_turn(store: Store) -> None:
    begin(store)
    scanner("all")
    first, second = engine_of(store), engine_of(store)
    trades(store, ("A", 1.0))
    assert first.tick()
    trades(store, ("B", 2.0))
    wait_until(second.tick, 2.0, "the other engine's turn")
    assert board(store, "all") == ["B", "A"]


def test_an_engine_goes_on_where_a_killed_one_ended(store: Store, valkey: EmbeddedValkey, tmp_path: Path) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    env = environment(tmp_path, REDIS_URL=valkey.url)
    symbols = [f"S{number:02d}" for number in range(8)]
    other = Engine(store, rules=ticking_engine.rules)

    def told(symbol: str) -> bool:
        other.tick()
        return symbol in entered(store)

    with python("-m", ticking_engine.__name__, env=env, log=tmp_path / "log") as killed:
        killed.wait_for("published")
        for number, symbol in enumerate(symbols):
            trades(store, (symbol, 1.0 + number), t=OPEN + number)
            if number == 4:
                # Between an event and its alert, or just after it.
                killed.end(signal.SIGKILL)
            wait_until(lambda symbol=symbol: told(symbol), what=f"the alert of {symbol}")  # type: ignore[misc]
    assert entered(store) == symbols
    assert board(store, "all") == symbols[::-1]
