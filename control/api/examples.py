"""What some endpoints answer, for their description; what a schema's own example does not say."""

from typing import Any, Final

_ROW: Final = {"rank": 1, "symbol": "AAPL", "price": 231.44, "pct_change": 1.27, "accumulated_volume": 18_734_509.0}
_FETCHED: Final = {"symbol": "AAPL", "fetched_at": "2026-03-02T14:31:00Z", "stale": False}
_BAR: Final = {
    "start_timestamp": 1_772_463_540_000,
    "end_timestamp": 1_772_463_600_000,
    "open": 231.4,
    "high": 231.61,
    "low": 231.38,
    "close": 231.44,
    "volume": 48_210.0,
    "vwap": 231.4871,
    "trades": 512.0,
}
_BACKTEST: Final = {
    "id": 4,
    "recording": "2026-03-02.ndjson.zst",
    "scanners": ["small_cap_hod_momo"],
    "where": "",
    "error": "",
    "state": "queued",
    "created_at": "2026-03-02T14:31:00Z",
    "started_at": None,
    "finished_at": None,
}
_ENTRY: Final = {
    "id": 41,
    "at": "2026-03-02T14:31:00Z",
    "username": "olga",
    "via": "api",
    "address": "192.0.2.7",
    "operation": "listener.stop",
    "target": "",
    "parameters": {},
    "state": "done",
    "result": "stopped: switched off",
    "before": {"enabled": True, "state": "live"},
    "after": {"enabled": False, "state": "stopped"},
    "finished_at": "2026-03-02T14:31:00Z",
}
_TARGET: Final = {
    "id": 2,
    "name": "phone",
    "service": "Telegram",
    "enabled": True,
    "common": False,
    "last_sent_at": "2026-03-02T14:31:00Z",
    "last_error": "",
}

# By endpoint.
ANSWERS: Final[dict[str, Any]] = {
    "POST /scanners/validate": {
        "valid": False,
        "errors": [
            {
                "field": "where",
                "message": "where: there is no field 'prise' at character 15; did you mean price?",
                "start": 14,
                "end": 19,
            }
        ],
    },
    "POST /scanners/preview": {"rows": [_ROW], "market_clock": 1_772_463_600_000, "took_ms": 1.4},
    "GET /fields": [
        {
            "name": "change",
            "label": "Change",
            "unit": "$",
            "description": "Against the previous day's close.",
            "formula": "price - prev_day_close",
            "source": "derived",
        }
    ],
    "GET /boards/{slug}": {"slug": "top_gainers", "rows": [_ROW]},
    "GET /quotes/{symbol}": {name: value for name, value in _ROW.items() if name != "rank"},
    "GET /bars/{resolution}/{symbol}": {"symbol": "AAPL", "resolution": "1m", "backfilling": False, "bars": [_BAR]},
    "GET /market_data/{symbol}": {
        **_FETCHED,
        "details": {"ticker": "AAPL", "name": "Apple Inc.", "primary_exchange": "XNAS", "market_cap": 3.48e12},
    },
    "GET /market_data/{symbol}/news": {
        **_FETCHED,
        "news": [{"id": "8ec6", "title": "Apple raises its guidance", "published_utc": "2026-03-02T14:31:00Z"}],
    },
    "GET /market_data/{symbol}/short_interest": {
        **_FETCHED,
        "short_interest": [{"settlement_date": "2026-02-13", "short_interest": 1.1e8, "days_to_cover": 2.16}],
    },
    "GET /market_data/{symbol}/short_volume": {
        **_FETCHED,
        "short_volume": [{"date": "2026-02-27", "total_volume": 2.1e7, "short_volume": 9.8e6}],
    },
    "GET /market_data/{symbol}/splits": {
        **_FETCHED,
        "splits": [{"execution_date": "2020-08-31", "split_from": 1.0, "split_to": 4.0}],
    },
    "GET /market_data/{symbol}/dividends": {
        **_FETCHED,
        "dividends": [{"ex_dividend_date": "2026-02-09", "pay_date": "2026-02-12", "cash_amount": 0.26}],
    },
    "GET /alerts": {
        "alerts": [
            {
                "id": "0c5e",
                "rule": "small_cap_hod_momo",
                "kind": "enter",
                "symbol": "AAPL",
                "price": 231.44,
                "at": 1_772_463_600_000,
                "trading_day": "2026-03-02",
                "note": "",
                "row": _ROW,
            }
        ],
        "next": "1772463600000.0c5e",
    },
    "GET /backtests": [_BACKTEST],
    "POST /backtests": _BACKTEST,
    "GET /backtests/{backtest_id}": {**_BACKTEST, "state": "done", "result": {"alerts": [], "summary": {}}},
    "GET /audit": [_ENTRY],
    "GET /targets": [_TARGET],
    "POST /targets": _TARGET,
    "PATCH /targets/{target_id}": _TARGET,
    "POST /targets/{target_id}/test": {"delivered": True, "error": ""},
}
# By the name of the schema that is answered.
OF_SCHEMAS: Final[dict[str, Any]] = {"EntryOut": _ENTRY}
