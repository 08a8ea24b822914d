"""A trading day of many symbols, made from a seed: everything that can befall one, in few events a symbol.

Symbols trade in bursts of a minute or so between which they are silent, as most of the market does. Some have second
bars, some minute bars, some neither; some never trade but in bars. Bars are sent again, corrected, up to a quarter of
an hour later; events come late; the feed of some symbols has a gap; names are halted and resume.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import Any

from tests.processors.feeding import Event, at

DATE = "2024-03-12"
START = at(f"{DATE} 04:00:00.000")
_OPEN = at(f"{DATE} 09:30:00.000")
_CLOSE = at(f"{DATE} 16:00:00.000")
_END = at(f"{DATE} 20:00:00.000")
_MINUTE = 60_000
# Some bursts come just before multiples of this after the day's start.
LOOKED_AT_MS = 48 * _MINUTE
_FRAME_MS = 500
# What of each hundred prints: regular ones, odd lots, and those that count for less or nothing.
_CONDITIONS: tuple[list[int], ...] = (
    ([],) * 60
    + ([37],) * 20
    + ([12],) * 6
    + ([14, 41],) * 4
    + ([2], [10], [32], [22], [15], [16], [38], [52], [7], [5])
)
_WORDS = ("Applied", "Northern", "Quantum", "Harbor", "Summit", "Delta")


@dataclass
class MadeDay:
    """A day as it is received.

    Attributes:
        frames: Time of receipt (epoch ms) and events, in order.
        reference: Reference data by symbol, known from the start; a field that is unknown is left out.
        articles: In Massive's form, in the order of publication.
    """

    frames: list[tuple[int, list[Event]]]
    reference: dict[str, dict[str, Any]]
    articles: list[dict[str, Any]] = field(default_factory=list)

    @property
    def events(self) -> Iterator[Event]:
        """Every event, in the order of receipt."""
        return (event for _, events in self.frames for event in events)


def make_day(seed: int, symbols: int = 2_000) -> MadeDay:
    """Make a day; the same seed makes the same."""
    first: Event = {"ev": "Q", "sym": "ZFIRST", "t": START, "bp": 1.0, "ap": 1.1, "bs": 1, "as": 1, "q": 0}
    received: list[tuple[int, Event]] = [(START, first)]
    reference: dict[str, dict[str, Any]] = {}
    for number in range(symbols):
        symbol = _Symbol(_name(number), Random(f"{seed}:{number}"))
        reference[symbol.name] = symbol.reference()
        received += symbol.received()
    received.sort(key=itemgetter(0))
    frames = [
        (tick * _FRAME_MS, [event for _, event in pairs])
        for tick, pairs in groupby(received, key=lambda pair: pair[0] // _FRAME_MS)
    ]
    return MadeDay(frames, reference, list(_articles(Random(seed), sorted(reference))))


def _name(number: int) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "Z" + letters[number // 676 % 26] + letters[number // 26 % 26] + letters[number % 26]


def _articles(chance: Random, symbols: list[str]) -> Iterator[dict[str, Any]]:
    """About one a symbol, of two days before and the day itself."""
    published = sorted(chance.randrange(START - 2 * 86_400_000, _END) for _ in symbols)
    for number, moment in enumerate(published):
        named = sorted(chance.sample(symbols, min(len(symbols), chance.choice((1, 1, 1, 2, 3)))))
        yield {
            "id": f"article{number}",
            "title": f"{named[0]} in the news",
            "article_url": f"https://example.com/{number}",
            "published_utc": datetime.fromtimestamp(moment // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tickers": named,
            "publisher": {"name": "Example"},
        }


def published_at(article: dict[str, Any]) -> int:
    """When an article was published, epoch milliseconds."""
    return round(datetime.fromisoformat(article["published_utc"]).timestamp() * 1_000)


class _Symbol:
    """One symbol's day, event by event."""

    def __init__(self, name: str, chance: Random) -> None:
        self.name, self._chance = name, chance
        # Second bars, minute bars, trades alone; minute bars without trades.
        self._kind = chance.choices(("A", "AM", "T", "AM only"), (55, 15, 22, 8))[0]
        self._price = self._previous = round(10 ** chance.uniform(-0.3, 2.3), 2)
        self._price *= 1 + chance.choice((0, 0, 0, 0.02, -0.03, 0.12, 0.4, -0.2))
        self._lot = chance.choice((1, 10, 100))
        self._drift = chance.choice((0, 0, 0.0005, -0.0005, 0.002))
        self._events: list[tuple[int, Event]] = []
        self._sequence = 0
        self._accumulated, self._worth = 0, 0.0
        self._official: float | None = None

    def reference(self) -> dict[str, Any]:
        """What is known of it; now and then nothing, or not all."""
        chance = self._chance
        if chance.random() < 0.04:
            return {}
        previous, volume = self._previous, chance.randrange(1_000, 60_000)
        known: dict[str, Any] = {
            "prev_day_open": round(previous * 1.01, 2),
            "prev_day_high": round(previous * 1.03, 2),
            "prev_day_low": round(previous * 0.97, 2),
            "prev_day_close": previous,
            "prev_day_volume": float(volume),
            "prev_day_vwap": round(previous * 1.001, 4),
            "avg_volume": float(chance.choice((2_000, 40_000, 500_000))),
            "free_float": float(chance.choice((2_000_000, 15_000_000, 20_000_000, 90_000_000))),
            "market_cap": float(round(previous * 50_000_000)),
            "name": f"{chance.choice(_WORDS)} {self.name}",
            "primary_exchange": chance.choice(("XNAS", "XNYS", "XASE")),
        }
        return {name: value for name, value in known.items() if chance.random() > 0.03}

    def received(self) -> list[tuple[int, Event]]:
        """Every event with its time of receipt."""
        chance = self._chance
        for begins in sorted(self._bursts()):
            minutes = chance.choice((1, 1, 2))
            for minute in range(minutes):
                self._minute(begins + minute * _MINUTE)
        self._bands_and_halts()
        if chance.random() < 0.1:
            # The feed of this one has a gap.
            gap = chance.randrange(START, _END - 60 * _MINUTE)
            self._events = [(when, event) for when, event in self._events if not gap <= when < gap + 60 * _MINUTE]
        # The connection ends with the day.
        return [(min(when, _END - 1), event) for when, event in self._events]

    def _bursts(self) -> list[int]:
        """When it trades: at any time, some just before moments that are looked at, half of them at the open."""
        chance = self._chance
        bounds = ((START, _OPEN), (_OPEN, _CLOSE), (_CLOSE, _END))
        sessions = chance.choices(bounds, (3, 7, 2), k=chance.choice((1, 2, 3)))
        begins = [chance.randrange(low // _MINUTE, high // _MINUTE - 2) * _MINUTE for low, high in sessions]
        looked_at = START + chance.randrange(1, 20) * LOOKED_AT_MS
        begins.append(looked_at - chance.choice((1, 2, 2, 3, 5, 9, 17)) * _MINUTE)
        begins += [_OPEN] if chance.random() < 0.5 else []
        # Now and then another burst follows at once.
        return begins + [begins[-1] + 3 * _MINUTE] * (chance.random() < 0.3)

    def _late(self) -> int:
        """How long an event takes, milliseconds: now and then minutes."""
        chance = self._chance
        return chance.randrange(10 * _MINUTE) if chance.random() < 0.01 else chance.choice((5, 12, 20, 40))

    def _minute(self, begins: int) -> None:
        chance = self._chance
        traded: list[Event] = []
        for second in sorted(chance.sample(range(60), chance.choice((2, 4, 8)))):
            start = begins + second * 1_000
            prints = [self._print(start + chance.randrange(1_000)) for _ in range(chance.choice((1, 1, 2, 4)))]
            if chance.random() < 0.3:
                self._quote(start + 500)
            traded += prints
            if self._kind == "A":
                self._bar("A", start, start + 1_000, prints)
        if self._kind in ("AM", "AM only"):
            self._bar("AM", begins, begins + _MINUTE, traded)
        if self._kind != "AM only":
            self._events += [(trade["t"] + self._late(), trade) for trade in traded]

    def _print(self, t: int) -> Event:
        chance = self._chance
        self._price = max(0.05, self._price * (1 + chance.gauss(self._drift, 0.002)))
        self._sequence += 1
        conditions = chance.choice(_CONDITIONS)
        away = 1.2 if conditions and chance.random() < 0.2 else 1.0
        price = round(self._price * away, 2 if self._price >= 1 else 4)
        size = chance.choice((1, 7, 50, 100, 100, 200, 900)) * self._lot
        place = {"x": 4, "i": str(self._sequence), "z": 3, "q": self._sequence}
        return {"ev": "T", "sym": self.name, "p": price, "s": size, "c": conditions, "t": t, **place}

    def _quote(self, t: int) -> None:
        self._sequence += 1
        spread = max(0.01, round(self._price * 0.001, 2))
        bid = round(self._price, 2) if self._chance.random() > 0.05 else 0
        sides = {"bp": bid, "ap": round(self._price + spread, 2), "bs": 3, "as": self._chance.randrange(1, 9)}
        event = {"ev": "Q", "sym": self.name, "t": t, "q": self._sequence, "z": 3, **sides}
        self._events.append((t + self._late(), event))

    def _bar(self, kind: str, start: int, end: int, prints: list[Event]) -> None:
        chance = self._chance
        prices = [trade["p"] for trade in prints if not set(trade["c"]) - {14, 41}]
        if not prices:
            return
        volume = sum(trade["s"] for trade in prints)
        self._accumulated += volume
        self._worth += sum(trade["s"] * trade["p"] for trade in prints)
        if start >= _OPEN and self._official is None and chance.random() < 0.7:
            self._official = prices[0]
        prices_ = {"o": prices[0], "c": prices[-1], "h": max(prices), "l": min(prices)}
        means = {"vw": round(sum(prices) / len(prices), 4), "a": round(self._worth / self._accumulated, 4)}
        volumes = {"v": volume, "av": self._accumulated, "z": volume // len(prints)}
        bar: Event = {"ev": kind, "sym": self.name, "s": start, "e": end, **prices_, **means, **volumes}
        if self._official is not None and start >= _OPEN:
            bar["op"] = self._official
        received = end + 2_000 + self._late()
        self._events.append((received, bar))
        if chance.random() < 0.05:
            high, low = (
                round(bar[side] * chance.choice((1.0, factor)), 4) for side, factor in (("h", 1.02), ("l", 0.98))
            )
            again = bar | {"h": high, "l": low, "c": prices[0], "v": volume + 10, "av": self._accumulated + 10}
            self._events.append((received + chance.randrange(1, 14 * _MINUTE), again))

    def _bands_and_halts(self) -> None:
        chance = self._chance
        if chance.random() > 0.3:
            return
        for t in sorted(chance.randrange(_OPEN, _CLOSE) for _ in range(3)):
            self._luld(t, [16], round(self._previous * 1.1, 2), round(self._previous * 0.9, 2))
        if chance.random() > 0.5:
            return
        halted_at = chance.randrange(_OPEN, _CLOSE - 30 * _MINUTE) // 1_000 * 1_000
        resumes = chance.choice((None, halted_at + 5 * _MINUTE, halted_at + 10 * _MINUTE))
        if chance.random() < 0.6:
            self._luld(halted_at, [17], 0, 0)
            if resumes is not None:
                self._luld(resumes, [18], 0, 0)
                self._luld(resumes + 2, [16], round(self._previous * 1.2, 2), round(self._previous * 0.8, 2))
            return
        reason = chance.choice(("T1", "LUDP"))
        halt = {"ev": "HALT", "sym": self.name, "t": halted_at, "reason": reason, "market": "NYSE"}
        halt |= {"resume_quote_at": None, "resume_at": None, "pause_price": None}
        self._events.append((halted_at + 20_000, halt))
        if resumes is not None:
            known = halt | {"resume_quote_at": resumes - 60_000, "resume_at": resumes}
            self._events.append((resumes - chance.choice((90_000, -20_000)), known))

    def _luld(self, t: int, codes: list[int], upper: float, lower: float) -> None:
        self._sequence += 1
        event = {"ev": "LULD", "T": self.name, "h": upper, "l": lower, "i": codes, "z": 3, "q": self._sequence}
        self._events.append((t + self._late(), event | {"t": t * 1_000_000 + 126_004_113 % 1_000_000}))
