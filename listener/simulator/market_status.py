"""Massive's market status and upcoming holidays from the exchange's calendar."""

import datetime as dt
from typing import Any

from listener.simulator.trading_days import TradingCalendar, new_york_time


def status_now(calendar: TradingCalendar, at: int) -> dict[str, Any]:
    """The `/v1/marketstatus/now` object at an instant (epoch ms)."""
    moment = new_york_time(at)
    day = calendar.day(moment.date())
    session = day.session(at) if day is not None else "closed"
    market = {"closed": "closed", "regular": "open"}.get(session, "extended-hours")
    weekday = moment.weekday() < 5
    return {
        "afterHours": session == "post",
        "currencies": {"crypto": "open", "fx": "open" if weekday else "closed"},
        "earlyHours": session == "pre",
        "exchanges": {"nasdaq": market, "nyse": market, "otc": market},
        "market": market,
        "serverTime": moment.isoformat(timespec="seconds"),
    }


def holiday_rows(calendar: TradingCalendar, at: int) -> list[dict[str, Any]]:
    """The `/v1/marketstatus/upcoming` rows from an instant (epoch ms) on: one row an exchange."""
    rows: list[dict[str, Any]] = []
    for holiday in calendar.holidays(new_york_time(at).date()):
        for exchange in ("NYSE", "NASDAQ"):
            row = {"date": holiday.date.isoformat(), "exchange": exchange, "name": holiday.name}
            if holiday.day is None:
                rows.append(row | {"status": "closed"})
            else:
                times = {"open": _utc(holiday.day.open), "close": _utc(holiday.day.close)}
                rows.append(row | {"status": "early-close"} | times)
    return rows


def _utc(at: int) -> str:
    return dt.datetime.fromtimestamp(at / 1_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
