"""What clients see while the cache is away, or refuses a value."""

import redis

from project.embedded import EmbeddedValkey
from tests.widgets.serving import Talk, Web, new_token


def test_the_cache_away_is_told_and_survived(web: Web, valkey: EmbeddedValkey) -> None:
    feed = "scanners:top_volume"
    with (
        Talk.authorised(web, new_token("visitor")) as talk,
        Talk.authorised(web, new_token("visitor")) as bare,
        Talk.authorised(web, new_token("visitor")) as late,
    ):
        talk.subscribe(feed, envelope=True, snapshot=True)
        bare.subscribe("scanners:*")
        assert talk.heard_before_invalid[0]["data"] is None
        valkey.kill()
        try:
            assert talk.hear()["status"] == "interrupted"
            answer = talk.ask(action="get", cache=feed)
            assert answer["status"] == "error"
            assert "cache" in answer["error"]
            late.say(action="subscribe", feed=feed, envelope=True, snapshot=True)
            assert late.hear() == {"status": "subscribed", "feed": feed}
            assert late.hear()["status"] == "error"
        finally:
            valkey.start()
        with redis.Redis.from_url(valkey.url) as cache:
            assert talk.hear() == {"status": "resumed"}
            assert talk.hear() == {"feed": feed, "seq": 2, "type": "snapshot", "data": None}
            # It never had a snapshot, and gets it now.
            assert late.hear() == {"feed": feed, "seq": 1, "type": "snapshot", "data": None}
            cache.publish(feed, '"back"')
            assert talk.hear() == {"feed": feed, "seq": 3, "type": "update", "data": "back"}
            assert bare.hear() == "back"
            assert late.hear() == {"feed": feed, "seq": 2, "type": "update", "data": "back"}


def test_a_value_that_cannot_be_read_is_told_of_its_feed_and_follows(talk: Talk, cache: "redis.Redis") -> None:
    # Refused by a cache that is there all the same.
    cache.hset("scanners:mine", "no", "text")
    talk.subscribe("scanners:mine", envelope=True, snapshot=True)
    error = "Its current value cannot be read at the moment. It follows."
    assert talk.heard_before_invalid == [{"status": "error", "error": error, "feed": "scanners:mine"}]
    cache.set("readable", "[]")
    # In one step: it is read again meanwhile.
    cache.rename("readable", "scanners:mine")
    assert talk.hear() == {"feed": "scanners:mine", "seq": 1, "type": "snapshot", "data": []}
