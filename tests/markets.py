"""One event of every type of every market, in the shapes of Massive's WebSocket documentation, and where each belongs.

Fair market values, launchpad values and imbalances of stocks are in `STOCK_EXTRAS`, the rest of stocks' events in the
tests of the symbol table.
"""

from typing import Any, NamedTuple


class Documented(NamedTuple):
    """An event, the queue that it travels in, and its channel and key."""

    market: str
    feed: str
    key: str
    event: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.market} {self.event['ev']}"


_OPTION = "O:SPY251219C00650000"
_BAR = {"o": 4.02, "c": 4.05, "h": 4.06, "l": 4.01}
_EQUITY_BAR = {**_BAR, "v": 200, "av": 8642007, "op": 25.66, "vw": 25.3981, "a": 25.39, "z": 50}
_CURRENCY_BAR = {**_BAR, "v": 951.6112, "vw": 0.7756, "z": 73}
_FUTURES_BAR = {**_BAR, "v": 120, "dv": 72_774_000, "n": 80}
_SECOND = {"s": 1610463299000, "e": 1610463300000}
_MINUTE = {"s": 1610463240000, "e": 1610463300000}
_START_ALONE = {"s": 1539145740000}  # as the forex bars of the documentation have it
_TRADE = {"x": 65, "p": 0.1, "s": 1, "c": [233], "t": 1610462411115, "q": 1325541950}
_QUOTE = {"bx": 302, "ax": 302, "bp": 9.71, "ap": 9.81, "bs": 17, "as": 24, "t": 1610462411115, "q": 844090872}
_CRYPTO_QUOTE = {
    "bp": 33052.79,
    "bs": 0.48,
    "ap": 33073.19,
    "as": 0.601,
    "t": 1610462411115,
    "x": 1,
    "r": 1610462411128,
}
_BOOK = {"b": [[33711.6, 0.42], [33711.2, 1.1]], "a": [[33712.9, 0.5]], "t": 1610462411115, "x": 1, "r": 1610462411123}
_FUTURES_QUOTE = {"bp": 114.125, "bs": 100, "bt": 1734103628360, "ap": 114.128, "as": 160, "at": 1734103628350}
_FMV = {"fmv": 189.22, "t": 1678220098130004113}
_LV = {"val": 3988.5, "t": 1678220098130}

OTHER_MARKETS: list[Documented] = [
    Documented("options", "aggregate", f"options:agg:{_OPTION}", {"ev": "A", "sym": _OPTION, **_EQUITY_BAR, **_SECOND}),
    Documented(
        "options", "aggregate", f"options:agg:{_OPTION}", {"ev": "AM", "sym": _OPTION, **_EQUITY_BAR, **_MINUTE}
    ),
    Documented("options", "trades", f"options:trades:{_OPTION}", {"ev": "T", "sym": _OPTION, **_TRADE}),
    Documented("options", "quotes", f"options:quotes:{_OPTION}", {"ev": "Q", "sym": _OPTION, **_QUOTE}),
    Documented("options", "aggregate", f"options:fmv:{_OPTION}", {"ev": "FMV", "sym": _OPTION, **_FMV}),
    Documented("options", "aggregate", f"options:value:{_OPTION}", {"ev": "LV", "sym": _OPTION, **_LV}),
    Documented("indices", "aggregate", "indices:agg:I:SPX", {"ev": "A", "sym": "I:SPX", "op": 4.0, **_BAR, **_SECOND}),
    Documented("indices", "aggregate", "indices:agg:I:SPX", {"ev": "AM", "sym": "I:SPX", "op": 4.0, **_BAR, **_MINUTE}),
    Documented(
        "indices", "aggregate", "indices:value:I:SPX", {"ev": "V", "val": 3988.5, "T": "I:SPX", "t": 1678220098130}
    ),
    Documented(
        "crypto", "aggregate", "crypto:agg:BTC-USD", {"ev": "XA", "pair": "BTC-USD", **_CURRENCY_BAR, **_MINUTE}
    ),
    Documented(
        "crypto", "aggregate", "crypto:agg:BTC-USD", {"ev": "XAS", "pair": "BTC-USD", **_CURRENCY_BAR, **_SECOND}
    ),
    Documented(
        "crypto", "aggregate", "crypto:agg:X:BTC-USD", {"ev": "AM", "sym": "X:BTC-USD", **_EQUITY_BAR, **_MINUTE}
    ),
    Documented(
        "crypto",
        "trades",
        "crypto:trades:BTC-USD",
        {"ev": "XT", "pair": "BTC-USD", "p": 33021.9, "t": 1610462007425, "s": 0.01616617, "c": [2], "i": "14", "x": 1},
    ),
    Documented("crypto", "quotes", "crypto:quotes:BTC-USD", {"ev": "XQ", "pair": "BTC-USD", **_CRYPTO_QUOTE}),
    Documented("crypto", "quotes", "crypto:book:BTC-USD", {"ev": "XL2", "pair": "BTC-USD", **_BOOK}),
    Documented("crypto", "aggregate", "crypto:fmv:X:BTC-USD", {"ev": "FMV", "sym": "X:BTC-USD", **_FMV}),
    Documented("crypto", "aggregate", "crypto:value:X:BTC-USD", {"ev": "LV", "sym": "X:BTC-USD", **_LV}),
    Documented(
        "forex", "aggregate", "forex:agg:USD/EUR", {"ev": "CA", "pair": "USD/EUR", **_BAR, "v": 20, **_START_ALONE}
    ),
    Documented("forex", "aggregate", "forex:agg:USD/EUR", {"ev": "CAS", "pair": "USD/EUR", **_BAR, "v": 20, **_SECOND}),
    Documented("forex", "aggregate", "forex:agg:C:EUR-USD", {"ev": "AM", "sym": "C:EUR-USD", **_EQUITY_BAR, **_MINUTE}),
    Documented(
        "forex",
        "quotes",
        "forex:quotes:USD/CNH",
        {"ev": "C", "p": "USD/CNH", "x": 44, "a": 6.83366, "b": 6.83363, "t": 1536036818784},
    ),
    Documented("forex", "aggregate", "forex:fmv:C:EUR-USD", {"ev": "FMV", "sym": "C:EUR-USD", **_FMV}),
    Documented("forex", "aggregate", "forex:value:C:EUR-USD", {"ev": "LV", "sym": "C:EUR-USD", **_LV}),
    Documented("futures", "aggregate", "futures:agg:ESZ5", {"ev": "A", "sym": "ESZ5", **_FUTURES_BAR, **_SECOND}),
    Documented("futures", "aggregate", "futures:agg:ESZ5", {"ev": "AM", "sym": "ESZ5", **_FUTURES_BAR, **_MINUTE}),
    Documented(
        "futures",
        "trades",
        "futures:trades:ESZ5",
        {"ev": "T", "sym": "ESZ5", "z": 3, "p": 606450, "s": 100, "t": 1734103628363, "q": 32599300},
    ),
    Documented(
        "futures", "quotes", "futures:quotes:ESZ5", {"ev": "Q", "sym": "ESZ5", **_FUTURES_QUOTE, "t": 1734103628361}
    ),
]

STOCK_EXTRAS: list[tuple[Documented, dict[str, Any]]] = [
    (
        Documented("stocks", "aggregate", "stocks:fmv:AAPL", {"ev": "FMV", "sym": "AAPL", **_FMV}),
        {"event_type": "FMV", "symbol": "AAPL", "fmv": 189.22, "timestamp": 1678220098130004113},
    ),
    (
        Documented("stocks", "aggregate", "stocks:value:AAPL", {"ev": "LV", "sym": "AAPL", **_LV}),
        {"event_type": "LV", "symbol": "AAPL", "value": 3988.5, "timestamp": 1678220098130},
    ),
    (
        Documented(
            "stocks",
            "halts",
            "stocks:noi:NTEST.Q",
            {
                "ev": "NOI",
                "T": "NTEST.Q",
                "t": 1601318039223013600,
                "at": 930,
                "a": "M",
                "i": 44,
                "x": 10,
                "o": 480,
                "p": 440,
                "b": 25.03,
            },
        ),
        {
            "event_type": "NOI",
            "symbol": "NTEST.Q",
            "timestamp": 1601318039223013600,
            "auction_time": 930,
            "auction_type": "M",
            "symbol_sequence": 44,
            "exchange_id": 10,
            "imbalance_quantity": 480,
            "paired_quantity": 440,
            "book_clearing_price": 25.03,
        },
    ),
]
