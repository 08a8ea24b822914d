"""The feeds of every market, as somebody with an ordinary login asks for them."""

from time import time_ns

import pytest

from processors.store import default_store
from tests.markets import OTHER_MARKETS, STOCK_EXTRAS, Documented
from tests.processors.feeding import as_anew, batch, begin, feed_in
from tests.rights import VIEWER
from tests.widgets.serving import Talk
from widgets.protocol import checked_feed
from widgets.visitors.access import Grant

_EXTRAS = [documented for documented, _ in STOCK_EXTRAS]
# One event a feed.
_FEEDS = list({documented.key: documented for documented in OTHER_MARKETS}.values())


@pytest.mark.parametrize("documented", [*OTHER_MARKETS, *_EXTRAS], ids=str)
def test_a_viewer_may_read_every_markets_feeds(documented: Documented) -> None:
    visitor = Grant(1, "visitor", is_staff=False, patterns=frozenset(VIEWER))
    market, kind, _ = documented.key.split(":", 2)
    for feed in (documented.key, f"{market}:{kind}:*", f"{market}:*"):
        assert checked_feed(feed) == feed
        assert visitor.may_read(feed)


def test_each_event_is_heard_and_answered_under_its_name(talk: Talk) -> None:
    for documented in _FEEDS:
        source = f"live:{documented.market}:real-time"
        begin(default_store(), source)
        talk.subscribe(documented.key)
        as_anew(default_store())
        feed_in((documented.feed, batch([documented.event], source=source, seq=time_ns() // 1_000)))
        assert talk.hear() == documented.event
        answer = talk.ask(action="get", cache=documented.key)
        assert answer == {"cache": documented.key, "data": documented.event}
        assert talk.ask(action="unsubscribe", feed=documented.key)["status"] == "unsubscribed"
