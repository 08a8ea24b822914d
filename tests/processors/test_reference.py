"""The previous day: loaded for the day that the table is of, whatever time it is."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from pytest_django import Settings

from control.models import FeedSettings
from processors.reference import day_of, reference_state, refresh
from processors.rows import row_of
from processors.store import SOURCE, Source, Store
from processors.tasks import refresh_reference
from tests.processors.feeding import at, batch, begin, feed_in, quote, trade

# Friday 2024-03-08, Monday 11th, Tuesday 12th; Friday 29th was Good Friday, 2024-07-03 closed early.


def source(clock: str, newest: str = "") -> Source:
    began, seen = at(f"2024-{clock}"), at(f"2024-{newest}") if newest else 0
    return Source("simulator:1", "simulator", began, 1.0, lossless=False, newest=seen)


@pytest.mark.parametrize(
    ("began", "newest", "day"),
    [
        # Before the first event: the day that runs, or the next.
        ("03-12 00:00:00.000", "", 20240312),
        ("03-12 03:59:59.999", "", 20240312),
        ("03-12 04:00:00.000", "", 20240312),
        ("03-12 12:00:00.000", "", 20240312),
        ("03-12 19:59:59.999", "", 20240312),
        ("03-12 20:00:00.000", "", 20240313),
        ("03-08 21:00:00.000", "", 20240311),
        ("03-09 12:00:00.000", "", 20240311),
        ("03-28 23:00:00.000", "", 20240401),
        ("07-03 16:59:59.999", "", 20240703),
        ("07-03 17:00:00.000", "", 20240705),
        # A table of Monday is Monday's through the night, whatever comes in it, until Tuesday begins.
        ("03-11 04:00:00.000", "03-11 19:59:59.999", 20240311),
        ("03-11 04:00:00.000", "03-11 23:59:59.999", 20240311),
        ("03-11 04:00:00.000", "03-12 00:00:00.000", 20240311),
        ("03-11 04:00:00.000", "03-12 03:59:59.999", 20240311),
        ("03-11 04:00:00.000", "03-12 04:00:00.000", 20240312),
        ("03-08 04:00:00.000", "03-10 12:00:00.000", 20240308),
        # One that begins at night has nothing of the day before, and quotes change nothing about that.
        ("03-12 00:10:00.000", "03-12 00:30:00.000", 20240312),
        ("03-11 21:00:00.000", "03-11 21:00:01.000", 20240312),
        ("03-09 12:00:00.000", "03-09 13:00:00.000", 20240311),
    ],
)
def test_the_day_of_a_table(began: str, newest: str, day: int) -> None:
    found = day_of(source(began, newest))
    assert found is not None
    assert found.number == day


def test_without_a_time_or_a_calendar_there_is_no_day() -> None:
    assert day_of(Source("simulator:1", "simulator", 0, 1.0, lossless=False)) is None
    assert day_of(Source("simulator:1", "simulator", 86_400_000, 1.0, lossless=False)) is None


class Vendor:
    """What was asked of a server that answers for any day; every symbol closed at the day of the month."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self.dates: list[str] = []
        self.keys: set[str] = set()


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    class Grouped(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.dates.append(self.path.partition("?")[0].rpartition("/")[2])
            seen.keys.add(self.headers["Authorization"].removeprefix("Bearer "))
            close = int(seen.dates[-1][-2:])
            bars = [{"T": "ABC", "o": 1, "h": 1, "l": 1, "c": close, "v": 1, "vw": 1, "t": 1}]
            body = msgspec.json.encode({"status": "OK", "results": bars})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Grouped) as server:
        seen = Vendor(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield seen
        server.shutdown()
        thread.join()


def test_a_night_of_quotes_leaves_the_day_its_previous_day(store: Store, vendor: Vendor) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 16:00:00.000"), 11.0)])))
    assert refresh(store, vendor.url, "key") == 1
    feed_in(("quotes", batch([quote("ABC", at("2024-03-12 02:00:00.000"), 11.0, 12.0)])))
    assert refresh(store, vendor.url, "key") is None
    row = row_of(store, "ABC")
    assert row is not None
    assert (row["trading_day"], row["prev_day_close"]) == ("2024-03-11", 8)
    feed_in(("trades", batch([trade("ABC", at("2024-03-12 04:00:00.000"), 12.0)])))
    assert refresh(store, vendor.url, "key") == 1
    row = row_of(store, "ABC")
    assert row is not None
    assert (row["trading_day"], row["prev_day_close"]) == ("2024-03-12", 11)
    assert vendor.dates == ["2024-03-08", "2024-03-11"]


def test_a_source_that_begins_after_the_close_gets_the_next_days_previous_day(store: Store, vendor: Vendor) -> None:
    begin(store, clock=at("2024-03-08 21:00:00.000"))
    assert refresh(store, vendor.url, "key") == 1
    assert vendor.dates == ["2024-03-08"]
    state = reference_state(store)
    assert state is not None
    assert state.day == 20240311
    assert refresh(store, vendor.url, "key") is None
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 04:00:00.000"), 12.0)])))
    # The bars of a day that has just ended may not have been its last.
    assert refresh(store, vendor.url, "key") == 1
    assert vendor.dates == ["2024-03-08", "2024-03-08"]
    assert refresh(store, vendor.url, "key") is None


def test_other_markets_have_no_previous_day(store: Store, vendor: Vendor) -> None:
    begin(store, "live:crypto:real-time", clock=at("2024-03-11 12:00:00.000"))
    store.redis.hset(SOURCE, "newest", at("2024-03-11 12:00:00.000"))
    assert refresh(store, vendor.url, "key") is None
    assert vendor.dates == []


def test_while_it_cannot_be_loaded_the_previous_day_is_unknown_and_not_another_days(
    store: Store, vendor: Vendor
) -> None:
    begin(store, clock=at("2024-03-11 04:00:00.000"))
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 16:00:00.000"), 11.0)])))
    assert refresh(store, vendor.url, "key") == 1
    feed_in(("trades", batch([trade("ABC", at("2024-03-12 04:00:00.000"), 12.0)])))
    assert refresh(store, "http://127.0.0.1:1", "key") is None
    row = row_of(store, "ABC")
    assert row is not None
    assert (row["trading_day"], row["prev_day_close"]) == ("2024-03-12", None)
    assert refresh(store, vendor.url, "key") == 1


@pytest.mark.django_db(transaction=True)
def test_it_comes_from_the_feed_that_was_chosen_and_the_vendors_key_does_not_go_there(
    store: Store, vendor: Vendor, settings: Settings
) -> None:
    settings.MASSIVE_API_KEY, settings.MASSIVE_REST_URL, settings.MASSIVE_SECURE = "hush", "", False
    FeedSettings.objects.update_or_create(defaults={"feed": vendor.address})
    begin(store, clock=at("2024-03-12 12:00:00.000"))
    refresh_reference()
    assert vendor.dates == ["2024-03-11"]
    assert vendor.keys == {settings.SIMULATOR_KEY}
