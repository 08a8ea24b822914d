"""Which prints count: by the built-in rules, by the vendor's table, and in the table's rows."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from processors.merging import conditions
from processors.merging.conditions import REGULAR, UpdateRule, keep_rules, refresh_rules, rule_of
from processors.store import Store
from processors.symbols.rows import row_of
from tests.processors.feeding import at, batch, begin, feed_in, trade

VOLUME_ONLY, NO_LAST, NOTHING = (
    UpdateRule(False, False, True),
    UpdateRule(True, False, True),
    UpdateRule(False, False, False),
)
AVERAGE_PRICE, EXTENDED_HOURS, OFFICIAL_CLOSE, OUT_OF_SEQUENCE, ODD_LOT, CORRECTED_CLOSE = 2, 12, 15, 32, 37, 38
SWEEP, UNHEARD_OF = 14, 999


@pytest.fixture(autouse=True)
def own_rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test goes by rules that another one read."""
    monkeypatch.setattr(conditions, "_loaded", conditions._Loaded())
    rule_of.cache_clear()
    yield
    rule_of.cache_clear()


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ((), REGULAR),
        ((SWEEP,), REGULAR),
        ((UNHEARD_OF,), REGULAR),
        ((AVERAGE_PRICE,), VOLUME_ONLY),
        ((EXTENDED_HOURS,), VOLUME_ONLY),
        ((ODD_LOT,), VOLUME_ONLY),
        ((OUT_OF_SEQUENCE,), NO_LAST),
        ((OFFICIAL_CLOSE,), NOTHING),
        # Each has to allow it.
        ((SWEEP, OUT_OF_SEQUENCE), NO_LAST),
        ((OUT_OF_SEQUENCE, ODD_LOT), VOLUME_ONLY),
        ((EXTENDED_HOURS, ODD_LOT, SWEEP), VOLUME_ONLY),
        ((CORRECTED_CLOSE,), UpdateRule(True, True, False)),
        ((CORRECTED_CLOSE, AVERAGE_PRICE), NOTHING),
        ((UNHEARD_OF, OUT_OF_SEQUENCE), NO_LAST),
    ],
)
def test_the_built_in_rules(given: tuple[int, ...], rule: UpdateRule) -> None:
    assert rule_of(given) == rule


def test_the_vendors_table_goes_before_what_is_built_in(store: Store) -> None:
    keep_rules(store, {ODD_LOT: REGULAR, UNHEARD_OF: NOTHING})
    assert rule_of((ODD_LOT,)) == VOLUME_ONLY
    refresh_rules(store)
    assert rule_of((ODD_LOT,)) == REGULAR
    assert rule_of((ODD_LOT, UNHEARD_OF)) == NOTHING
    assert rule_of((AVERAGE_PRICE,)) == VOLUME_ONLY
    # It is looked for once a minute, so that no batch waits for it.
    keep_rules(store, {ODD_LOT: NOTHING})
    refresh_rules(store)
    assert rule_of((ODD_LOT,)) == REGULAR
    conditions._loaded.looked -= 60.0
    refresh_rules(store)
    assert rule_of((ODD_LOT,)) == NOTHING
    assert rule_of((UNHEARD_OF,)) == REGULAR
    store.redis.delete(conditions.CONDITIONS)
    conditions._loaded.looked -= 60.0
    refresh_rules(store)
    assert rule_of((ODD_LOT,)) == VOLUME_ONLY


def test_prints_of_every_kind_in_a_row(store: Store) -> None:
    begin(store)
    prints = [
        (10.0, ()),
        (50.0, (AVERAGE_PRICE,)),
        (60.0, (ODD_LOT,)),
        (12.0, (OUT_OF_SEQUENCE,)),
        (11.0, (SWEEP, UNHEARD_OF)),
        (8.0, (OUT_OF_SEQUENCE,)),
        (1.0, (OUT_OF_SEQUENCE, ODD_LOT)),
        (99.0, (OFFICIAL_CLOSE,)),
        (0.5, (EXTENDED_HOURS, ODD_LOT)),
    ]
    opened = at("2024-03-12 10:00:00.000")
    feed_in(("trades", batch([trade("ABC", opened + n, p, 10, c=list(c), q=n) for n, (p, c) in enumerate(prints)])))
    row = row_of(store, "ABC")
    assert row is not None
    assert (row["price"], row["day_open"], row["regular_high"], row["regular_low"]) == (11.0, 10.0, 12.0, 8.0)
    # All but the official close, which nobody traded.
    assert row["accumulated_volume"] == 80


def _around_the_block(path: Path) -> list[dict[str, Any]]:
    """SPY's prints of the real day around the block of 1,002,411 shares after the close."""
    closed, over = at("2013-10-07 16:00:15.000"), at("2013-10-07 16:02:00.000")
    found: list[dict[str, Any]] = []
    with gzip.open(path) as lines:
        for line in lines:
            # `{"at":1381132800472,` begins each.
            received = int(line[6:19])
            if received > over:
                break
            if received >= closed:
                events = msgspec.json.decode(line)["frame"]
                found += [event for event in events if event["ev"] == "T" and event["sym"] == "SPY"]
    return found


@pytest.mark.parametrize(
    ("condition", "counts"), [(None, True), (EXTENDED_HOURS, False), (AVERAGE_PRICE, False), (53, False)]
)
def test_the_real_days_block_after_the_close_counts_until_its_condition_is_known(
    store: Store, spy_prints: list[dict[str, Any]], condition: int | None, counts: bool
) -> None:
    (block,) = [event for event in spy_prints if event["s"] == 1_002_411]
    assert (block["p"], block["c"]) == (168.9, [])
    others = [event for event in spy_prints if event is not block]
    block = block | {"c": [condition] if condition is not None else []}
    begin(store, clock=at("2013-10-07 16:00:00.000"))
    feed_in(("trades", batch([*others, block])))
    row = row_of(store, "SPY")
    assert row is not None
    assert (row["post_high"] == 168.9) is counts
    assert max(event["p"] for event in others) < 168.5
    assert row["accumulated_volume"] == sum(event["s"] for event in spy_prints)
    feed_in(("trades", batch([block | {"t": row["price_at"] + 1_000, "q": 10**7}])))
    later = row_of(store, "SPY")
    assert later is not None
    assert (later["price"] == 168.9) is counts


@pytest.fixture(scope="module")
def spy_prints(real_day: Path) -> list[dict[str, Any]]:
    """Read once."""
    return _around_the_block(real_day)
