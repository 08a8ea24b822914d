"""Boards and their deltas as they go out, whoever published the board before."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.scanning.board_messages import Boards, delta_channel

Rows = list[tuple[str, bytes]]

_VALUES = st.one_of(st.none(), st.integers(0, 2), st.sampled_from([',"rank":1}', "ü", '"']))
_BOARDS = st.lists(
    st.tuples(st.lists(st.tuples(st.sampled_from("ABCDEF"), _VALUES), unique_by=lambda row: row[0]), st.booleans()),
    max_size=8,
)


def rows_of(board: list[tuple[str, Any]]) -> Rows:
    return [(symbol, msgspec.json.encode({"symbol": symbol, "x": x, "y": 1})) for symbol, x in board]


def applied(rows: list[dict[str, Any]], delta: dict[str, Any]) -> list[dict[str, Any]]:
    """What a reader of deltas makes of a board: its rows with their ranks."""
    by_symbol = {row["symbol"]: row for row in rows if row["symbol"] not in delta["remove"]}
    for row in delta["upsert"]:
        by_symbol[row["symbol"]] = by_symbol.get(row["symbol"], {}) | row
    order = delta.get("order", by_symbol)
    return [by_symbol[symbol] | {"rank": rank} for rank, symbol in enumerate(order, 1)]


@given(_BOARDS)
@settings(max_examples=150, deadline=None)
def test_deltas_rebuild_every_board_whoever_publishes_it(steps: list[tuple[list[tuple[str, Any]], bool]]) -> None:
    boards, payloads, shown, version = Boards({}, {}), dict[str, bytes](), list[dict[str, Any]](), 0
    for now, (board, taken_over) in enumerate(steps):
        if taken_over:
            boards = Boards({"top_volume": version} if version else {}, payloads)
        messages = {each.key: each.payload for each in boards.show("top_volume", rows_of(board), now, with_delta=True)}
        if messages:
            payloads["top_volume"] = messages["scanners:top_volume"]
            delta = msgspec.json.decode(messages[delta_channel("top_volume")])
            assert delta["base"] == version
            version += 1
            shown = applied(shown, delta)
        assert (boards.version("top_volume"), msgspec.json.decode(payloads["top_volume"])) == (version, shown)
        assert [(row["symbol"], row["x"]) for row in shown] == board


def test_boards_of_another_engine_are_in_the_lists_before_they_are_ranked_again() -> None:
    rows = rows_of([("A", 1), ("B", 2)])
    first = Boards({}, {})
    (board,) = first.show("top_volume", rows, 1.0, with_delta=False)
    (lists,) = first.top_10_lists(1.0)
    # One that is slow waits its turn for seconds.
    second = Boards({"top_volume": 1}, {"top_volume": board.payload})
    assert second.top_10_lists(2.0) == [lists]
    assert second.show("top_volume", rows, 2.0, with_delta=True) == []


def test_a_field_that_an_earlier_release_did_not_have_is_in_the_delta() -> None:
    boards = Boards({"all": 7}, {"all": b'[{"symbol":"A","x":1,"rank":1}]'})
    _, delta = boards.show("all", [("A", b'{"symbol":"A","x":1,"y":2}')], 1.0, with_delta=True)
    assert msgspec.json.decode(delta.payload) == {"base": 7, "upsert": [{"symbol": "A", "y": 2}], "remove": []}


def test_a_row_with_a_field_that_is_no_more_is_replaced() -> None:
    boards = Boards({"all": 7}, {"all": b'[{"symbol":"A","x":1,"y":2,"rank":1},{"symbol":"B","x":1,"rank":2}]'})
    _, delta = boards.show(
        "all", [("A", b'{"symbol":"A","x":1}'), ("B", b'{"symbol":"B","x":1}')], 1.0, with_delta=True
    )
    said = msgspec.json.decode(delta.payload)
    assert said == {"base": 7, "upsert": [{"symbol": "A", "x": 1}], "remove": ["A"], "order": ["A", "B"]}


def test_versions_of_a_new_source_are_none_of_an_earlier_one() -> None:
    boards = Boards({"known": 3}, {"known": b"[]"}, first=1_000)
    for slug in ("known", "new"):
        boards.show(slug, rows_of([("A", 1)]), 1.0, with_delta=False)
    assert (boards.version("known"), boards.version("new")) == (4, 1_001)
