"""Reference data that an operator wants anew."""

import pytest

from control.models import FeedSettings
from processors.jobs import reload_reference
from processors.reference import refresh
from processors.reference.reloading import make_due
from processors.store import Store, answers_key
from processors.symbols.rows import row_of
from tests.processors.feeding import at, batch, begin, feed_in, trade
from tests.processors.reference_data import state
from tests.processors.vendor_server import FLOAT, GROUPED, VendorServer

FLOAT_KIND = "float"


def test_one_kind_is_asked_for_again_and_the_others_stand(store: Store, vendor: VendorServer) -> None:
    begin(store, clock=at("2024-03-11 09:00:00.000"))
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 09:00:00.000"), 11.0)])))
    while refresh(store, vendor.url, "key"):
        pass
    calls = len(vendor.asked)
    vendor.tables[FLOAT] = [{"ticker": "ABC", "free_float": 777}]
    make_due(store, vendor.url, [FLOAT_KIND])
    assert not state(store).kinds[FLOAT_KIND].whole
    assert refresh(store, vendor.url, "key") == 1
    assert [path.partition("?")[0] for path in vendor.asked[calls:]] == [FLOAT]
    found = row_of(store, "ABC")
    assert found is not None
    assert (found["free_float"], found["prev_day_close"]) == (777, 8)


@pytest.mark.django_db(transaction=True)
def test_all_kinds_are_loaded_anew_while_the_old_stand_and_who_asked_hears_of_it(
    store: Store, vendor: VendorServer
) -> None:
    FeedSettings.objects.update_or_create(pk=1, defaults={"feed": vendor.address})
    begin(store, clock=at("2024-03-11 09:00:00.000"))
    feed_in(("trades", batch([trade("ABC", at("2024-03-11 09:00:00.000"), 11.0)])))
    while refresh(store, vendor.url, "key"):
        pass
    before = {path: vendor.count(path) for path in (GROUPED, FLOAT)}
    kinds = list(state(store).kinds)
    reload_reference.apply(args=(kinds, "call"))
    assert store.redis.lrange(answers_key("call"), 0, -1) == [b"begun", b"ended"]
    assert all(kind.whole for kind in state(store).kinds.values())
    assert vendor.count(GROUPED) == 2 * before[GROUPED] == 60
    assert vendor.count(FLOAT) == 2 * before[FLOAT]
    found = row_of(store, "ABC")
    assert found is not None
    assert found["prev_day_close"] == 8
