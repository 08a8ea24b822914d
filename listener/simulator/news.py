"""Made-up news: the stories behind a day's moves, and the usual noise."""

import datetime as dt
import hashlib
from typing import Any, Final

import numpy as np

from listener.simulator.plan import DayPlan, Story
from listener.simulator.trading_days import TradingDay
from listener.simulator.universe import STREAM_NEWS, Universe, stream

_NOISE_OF_8000: Final = 260
_BIG_MOVE: Final = 0.02
_GOOD: Final = (
    "{name} raises full-year guidance after a strong quarter",
    "{name} announces positive topline results",
    "{name} wins a multi-year supply contract",
    "{name} agrees to be acquired at a premium",
    "{name} reports record revenue and a new buyback",
)
_BAD: Final = (
    "{name} prices a public offering of common stock",
    "{name} cuts its outlook and withdraws guidance",
    "{name} receives a complete response letter",
    "{name} misses estimates as demand softens",
)
_PLAIN: Final = (
    "{name} to present at an investor conference",
    "Analysts revisit {name} ahead of earnings",
    "{name} names a new chief financial officer",
    "{name} declares a quarterly dividend",
    "What to watch at {name} this quarter",
)
_PUBLISHERS: Final = ("Tape & Ticker", "Harbor Street Wire", "The Closing Bell Post", "Meridian Newswire")
Article = dict[str, Any]


def day_news(universe: Universe, plan: DayPlan) -> list[Article]:
    """All articles of a planned day, oldest first: one for each story, and the noise."""
    return sorted(
        [_article(universe, story, number) for number, story in enumerate(plan.stories)] + noise(universe, plan.day),
        key=lambda article: str(article["published_utc"]),
    )


def noise(universe: Universe, day: TradingDay) -> list[Article]:
    """Articles of a day that move nothing, oldest first."""
    rng = stream(universe.seed, STREAM_NEWS, day.date.toordinal())
    count = max(1, _NOISE_OF_8000 * len(universe) // 8_000)
    weights = np.sqrt(universe.activity)
    symbols = rng.choice(len(universe), size=count, p=weights / weights.sum())
    at = np.sort(day.start - 4 * 3_600_000 + rng.integers(0, 20 * 3_600_000, count))
    return [
        _article(universe, Story(*row, 0.0), 10_000 + number)
        for number, row in enumerate(zip(symbols.tolist(), at.tolist(), strict=True))
    ]


def _article(universe: Universe, story: Story, number: int) -> Article:
    ticker, name = universe.tickers[story.symbol], universe.names[story.symbol]
    identity = hashlib.sha256(f"{universe.seed}/{ticker}/{story.at}/{number}".encode()).hexdigest()
    pick = int(identity[:8], 16)
    sentiment = "positive" if story.move > _BIG_MOVE else "negative" if story.move < -_BIG_MOVE else "neutral"
    titles = {"positive": _GOOD, "negative": _BAD, "neutral": _PLAIN}[sentiment]
    publisher = _PUBLISHERS[pick % len(_PUBLISHERS)]
    home = f"https://{publisher.lower().replace(' ', '').replace('&', 'and')}.example"
    title = titles[pick % len(titles)].format(name=name)
    return {
        "id": identity,
        "publisher": {
            "name": publisher,
            "homepage_url": home,
            "logo_url": f"{home}/logo.svg",
            "favicon_url": f"{home}/f.ico",
        },
        "title": title,
        "author": "Newsroom",
        "published_utc": dt.datetime.fromtimestamp(story.at // 1_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "article_url": f"{home}/{identity[:12]}",
        "tickers": [ticker],
        "image_url": f"{home}/{identity[:12]}.jpg",
        "description": f"{title}. {name} ({ticker}) is a company of the simulated market; this article is fiction.",
        "keywords": [],
        "insights": [{"ticker": ticker, "sentiment": sentiment, "sentiment_reasoning": "Simulated."}],
    }
