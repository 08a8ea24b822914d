"""One client's messages: straight through while there is room, else bounded, in order, and with numbers for losses."""

import asyncio
from typing import Any

import pytest
from django.conf import LazySettings

from tests.widgets.outlets import BOARD, ENVELOPED, PRINTS, ScriptedOutlet
from widgets.sending import backlog as module
from widgets.sending.outbox import Outbox, Subscription
from widgets.sending.outlet import outlet_of


@pytest.fixture
def outlet() -> ScriptedOutlet:
    return ScriptedOutlet()


@pytest.fixture
def outbox(outlet: ScriptedOutlet) -> Outbox:
    return Outbox(outlet)


def test_with_room_everything_goes_straight_through(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    for number in range(3):
        outbox.put(BOARD, b"%d" % number, Subscription())
        assert outlet.heard() == [number]
        outbox.put(PRINTS, b"%d" % number, ENVELOPED)
        assert outlet.heard() == [{"feed": PRINTS, "seq": number + 1, "type": "update", "data": number}]
    assert (outbox.sent, outbox.waiting, outbox.behind_s) == (6, 0, 0.0)


def test_only_the_latest_of_a_board_waits(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    for number in range(10):
        outbox.put(BOARD, b"%d" % number, ENVELOPED)
    assert (outbox.waiting, outbox.waiting_bytes) == (1, 1)
    outlet.make_room()
    assert outlet.heard() == [{"feed": BOARD, "seq": 1, "type": "update", "data": 9}]
    assert (outbox.dropped, outbox.conflated, outbox.waiting) == (0, 9, 0)


def test_prints_wait_in_order(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 2
    for number in range(10):
        outbox.put(PRINTS, b"%d" % number, Subscription())
    outlet.make_room(3)
    assert outlet.heard() == [0, 1, 2, 3, 4]
    outlet.make_room()
    assert outlet.heard() == [5, 6, 7, 8, 9]


def test_how_far_behind_is_the_age_of_the_oldest_that_waits(outlet: ScriptedOutlet) -> None:
    now = [100.0]
    outbox = Outbox(outlet, lambda: now[0])
    outlet.room = 0
    outbox.put(BOARD, b"1", Subscription())
    now[0] = 103.0
    outbox.put(PRINTS, b"2", Subscription())
    outbox.put(BOARD, b"3", Subscription())
    now[0] = 104.0
    assert outbox.behind_s == 4.0


def test_the_oldest_prints_are_dropped_the_gap_is_as_wide_and_told_when_there_is_room(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 5)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    outlet.room = 0
    for number in range(1, 13):
        outbox.put(PRINTS, b"%d" % number, ENVELOPED)
    assert lost == []
    outlet.make_room()
    assert [(message["seq"], message["data"]) for message in outlet.heard()] == [(n, n) for n in range(8, 13)]
    assert outbox.dropped == 7
    assert lost == [PRINTS]


def test_losses_are_told_again_when_everything_has_been_sent(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 1)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    for feed in (PRINTS, "news:latest"):
        outlet.room = 0
        outbox.put(feed, b"1", ENVELOPED)
        outbox.put(feed, b"2", ENVELOPED)
        outlet.make_room()
    assert lost == [PRINTS, "news:latest"]


def test_what_is_lost_while_a_snapshot_is_being_read_is_told_after_it(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 1)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    outbox.hold(PRINTS)
    for number in range(1, 4):
        outbox.put(PRINTS, b"%d" % number, ENVELOPED)
    outbox.release(PRINTS, b"0", ENVELOPED)
    assert [(message["seq"], message["data"]) for message in outlet.heard()] == [(3, 0), (4, 3)]
    assert lost == [PRINTS]


def test_of_bare_messages_no_loss_is_told(
    outlet: ScriptedOutlet, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 1)
    lost: list[str] = []
    outbox.on_loss = lambda feed, subscription: lost.append(feed)
    outlet.room = 0
    for number in range(3):
        outbox.put(PRINTS, b"%d" % number, Subscription())
    outlet.make_room()
    assert (outlet.heard(), lost) == ([2], [])


def test_a_client_that_loses_all_the_time_is_told_once_a_second(
    outlet: ScriptedOutlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ORDER", 5)
    now = [0.0]
    outbox = Outbox(outlet, lambda: now[0])
    told: list[float] = []
    outbox.on_loss = lambda feed, subscription: told.append(now[0])
    outlet.room = 0
    for eighth in range(40):
        now[0] = eighth / 8
        for number in range(4):
            outbox.put(PRINTS, b"%d" % number, ENVELOPED)
        outlet.make_room(2)
    assert told == [0.125, 1.125, 2.125, 3.125, 4.125]


def test_too_many_bytes_are_dropped_from_the_kind_that_has_more(
    outlet: ScriptedOutlet, outbox: Outbox, settings: LazySettings
) -> None:
    settings.WDS_BACKLOG_MB = 1
    outlet.room = 0
    outbox.put("status", b'"the only one"', ENVELOPED)
    for number in range(200):
        outbox.put(PRINTS, b'["%06d","%b"]' % (number, b"x" * 10_000), ENVELOPED)
        assert outbox.waiting_bytes <= 1024 * 1024
    outlet.make_room()
    heard = outlet.heard()
    assert [message["data"] for message in heard if message["feed"] == "status"] == ["the only one"]
    numbers = [int(message["data"][0]) for message in heard if message["feed"] == PRINTS]
    assert numbers == list(range(200 - len(numbers), 200))
    assert len(numbers) == 104


def test_a_single_message_may_be_larger_than_the_bound(
    outlet: ScriptedOutlet, outbox: Outbox, settings: LazySettings
) -> None:
    settings.WDS_BACKLOG_MB = 1
    outlet.room = 0
    outbox.put(BOARD, b'"%b"' % (b"x" * 2_000_000), Subscription())
    outlet.make_room()
    assert len(outlet.written[0]) > 2_000_000


def test_a_busy_kind_does_not_starve_the_other(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    for number in range(100):
        outbox.put(PRINTS, b"%d" % number, Subscription())
        outbox.put(f"quote:SYM{number}", b'"%d"' % number, Subscription())
    outlet.make_room()
    taken = outlet.heard()
    assert taken[:6] == [0, "0", 1, "1", 2, "2"]
    assert len(taken) == 200


def test_a_quiet_board_keeps_its_place(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.put("scanners:quiet", b'"quiet"', Subscription())
    for number in range(10):
        outbox.put("scanners:busy", b"%d" % number, Subscription())
    outbox.put("scanners:quiet", b'"again"', Subscription())
    outlet.make_room()
    assert outlet.heard() == ["again", 9]


def test_the_snapshot_goes_first_and_nothing_older_follows(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.hold(BOARD)
    outbox.put(BOARD, b"1", ENVELOPED)
    outbox.hold(BOARD)
    outbox.release(BOARD, b"2", ENVELOPED)
    outbox.put(BOARD, b"3", ENVELOPED)
    outlet.make_room()
    # Not yet sent: the newer state takes the snapshot's place, and is one.
    assert outlet.heard() == [{"feed": BOARD, "seq": 1, "type": "snapshot", "data": 3}]
    outbox.put(BOARD, b"4", ENVELOPED)
    assert outlet.heard() == [{"feed": BOARD, "seq": 2, "type": "update", "data": 4}]


def test_a_snapshot_in_the_place_of_an_update_is_one(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.put(BOARD, b"1", ENVELOPED)
    outbox.hold(BOARD)
    outbox.release(BOARD, b"2", ENVELOPED)
    outlet.make_room()
    assert outlet.heard() == [{"feed": BOARD, "seq": 1, "type": "snapshot", "data": 2}]


def test_a_message_that_says_what_the_snapshot_says_is_not_repeated(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outbox.hold(PRINTS)
    for number in (b"1", b"2"):
        outbox.put(PRINTS, number, ENVELOPED)
    assert outlet.heard() == []
    outbox.release(PRINTS, b"1", ENVELOPED)
    assert [(message["type"], message["data"]) for message in outlet.heard()] == [("snapshot", 1), ("update", 2)]


def test_other_feeds_are_not_held_back(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outbox.hold(BOARD)
    outbox.put(BOARD, b"1", ENVELOPED)
    outbox.put("status", b"2", Subscription())
    assert outlet.heard() == [2]


def test_without_a_snapshot_the_first_whole_state_is_one(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outbox.hold(BOARD)
    outbox.release(BOARD, None, ENVELOPED)
    for number in (b"1", b"2"):
        outbox.put(BOARD, number, ENVELOPED)
    assert [message["type"] for message in outlet.heard()] == ["snapshot", "update"]


def test_what_waits_goes_with_its_subscription_alone_and_the_numbers_go_on(
    outlet: ScriptedOutlet, outbox: Outbox
) -> None:
    pattern = Subscription(envelope=True)
    outbox.put(PRINTS, b"1", pattern)
    outlet.room = 0
    outbox.put("scanners:a", b"2", pattern)
    outbox.put(PRINTS, b"3", pattern)
    outbox.put(BOARD, b"4", Subscription())
    outbox.forget(pattern)
    outlet.make_room()
    outbox.put(PRINTS, b"5", ENVELOPED)
    first, board, again = outlet.heard()
    assert (first["seq"], first["data"]) == (1, 1)
    assert board == 4
    assert (again["seq"], again["data"]) == (2, 5)


def test_closed_it_keeps_nothing_and_asks_for_nothing_more(outlet: ScriptedOutlet, outbox: Outbox) -> None:
    outlet.room = 0
    outbox.put(PRINTS, b"1", ENVELOPED)
    outbox.close()
    outlet.make_room()
    outbox.put(PRINTS, b"2", ENVELOPED)
    assert (outlet.heard(), outbox.waiting) == ([], 0)


async def test_a_server_without_an_outlet_gets_the_messages_in_order_and_one_at_a_time() -> None:
    sent: list[str] = []
    under_way = asyncio.Semaphore(0)

    async def send(message: dict[str, Any]) -> None:
        await under_way.acquire()
        sent.append(message["text"])

    outlet = outlet_of({"type": "websocket"}, send)
    outbox = Outbox(outlet)
    for number in range(5):
        outbox.put(PRINTS, b"%d" % number, Subscription())
        outbox.put(BOARD, b"%d" % (10 + number), Subscription())
    assert (outlet.has_room, outbox.waiting) == (False, 5)
    for _ in range(6):
        under_way.release()
    while len(sent) < 6:
        await asyncio.sleep(0)
    assert sent == ["0", "1", "14", "2", "3", "4"]


async def test_when_that_server_has_lost_the_socket_there_is_never_room_again() -> None:
    async def send(message: dict[str, Any]) -> None:
        raise OSError("closed")

    outlet = outlet_of({"type": "websocket", "extensions": {}}, send)
    outbox = Outbox(outlet)
    for _ in range(3):
        outbox.put(BOARD, b"1", Subscription())
        await asyncio.sleep(0)
    assert (outlet.has_room, outbox.waiting) == (False, 1)
    outbox.close()
