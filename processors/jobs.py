"""What the jobs workers do: long, acknowledged early, results in the database or the cache, never in an event's way."""

import logging
from secrets import token_hex
from time import monotonic, sleep
from typing import Final

import redis
from celery import shared_task
from django.db import DatabaseError

from processors.store import default_store

log = logging.getLogger(__name__)

_BACKTEST_LEASE: Final = "tw:lease:backtest"
_NOTIFICATIONS_LEASE: Final = "tw:lease:notifications"
# Some targets after each other, each with its patience.
_LONGEST_ROUND_MS: Final = 60_000
# A run of loading reference data that is under way is waited for so long.
_REFRESH_WAITS_S: Final = 4.0
_REFRESH_AGAIN_S: Final = 0.2
# After so long it is taken for dead.
_LONGEST_BACKTEST_MS: Final = 1_800_000
# Well within the time after which a Redis broker hands a message out again.
_NEXT_BACKTEST_S: Final = 5


def _rest_address(what: str) -> tuple[str, str] | None:
    """Where REST calls of the present settings go, and their key; None when they cannot be read."""
    from listener.wishes import read_wish
    from processors.reference import rest_url

    try:
        address = read_wish(None).address
    except (DatabaseError, ValueError) as error:
        log.warning("the feed's settings cannot be read, %s later: %s", what, error)
        return None
    return rest_url(address.feed), address.key


@shared_task(acks_late=False, ignore_result=True)
def refresh_reference() -> None:
    """Load what the table lacks of reference data: the previous day first, then what it says of companies."""
    from processors.reference import refresh

    if (address := _rest_address("reference data is loaded")) is not None:
        refresh(default_store(), *address)


@shared_task(acks_late=False, ignore_result=True)
def reload_reference(kinds: list[str], call: str) -> None:
    """Load kinds of reference data anew, because an operator wants it, who hears when it begins and when it ends."""
    from processors.reference import refresh
    from processors.reference.reloading import make_due, say

    store = default_store()
    if (address := _rest_address("reference data is loaded anew")) is not None:
        make_due(store, address[0], kinds)
        say(store, call, "begun")
        # One may be under way that does not know of it.
        deadline = monotonic() + _REFRESH_WAITS_S
        while not refresh(store, *address) and monotonic() < deadline:
            sleep(_REFRESH_AGAIN_S)
        say(store, call, "ended")


@shared_task(acks_late=False, ignore_result=True)
def forget_audit() -> None:
    """Remove what has stood in the audit log for longer than it is to be kept."""
    from control.operations.housekeeping import forget_old_entries

    try:
        forget_old_entries()
    except DatabaseError as error:
        log.warning("old entries of the audit log stay for now: %s", error)


@shared_task(acks_late=False, ignore_result=True)
def forget_deliveries() -> None:
    """Give up what has waited for a target for a day, and remove what is a month old."""
    from control.notifications.delivering import forget_old

    try:
        forget_old()
    except DatabaseError as error:
        log.warning("old notification deliveries stay for now: %s", error)


@shared_task(acks_late=False, ignore_result=True)
def seed_day() -> None:
    """Go on filling up what the feed did not bring of the day."""
    from processors.seeding.seed import seed

    if (address := _rest_address("the day is filled up")) is not None:
        seed(default_store(), *address)


@shared_task(acks_late=False, ignore_result=True)
def backfill_bars(symbol: str) -> None:
    """Load what is missing of one symbol's minute bars, for whoever looks at its chart."""
    from processors.seeding.backfill import backfill

    if (address := _rest_address("bars are loaded")) is not None:
        backfill(default_store(), *address, symbol)


@shared_task(acks_late=False, ignore_result=True)
def record_volume_profile() -> None:
    """Record the day's volume by the minute when it is over, and see to the mean of the days before it."""
    from processors.seeding import volume_history

    if (address := _rest_address("the volume profile is recorded")) is None:
        return
    try:
        volume_history.record(default_store(), address[0])
    except DatabaseError as error:
        log.warning("the volume profile waits on, the database does not take it: %s", error)


@shared_task(acks_late=False, ignore_result=True)
def store_alerts() -> None:
    """Put the engine's alerts into the database, for good."""
    from processors.scanning import alert_history  # the models with it: they are loaded later than tasks are

    try:
        alert_history.store_alerts(default_store())
    except (DatabaseError, redis.ConnectionError, redis.TimeoutError) as error:
        log.warning("alerts wait on, they cannot be stored: %s", error)


@shared_task(acks_late=False, ignore_result=True)
def deliver_notifications() -> None:
    """Send alerts to where people want them; one round at a time, for a slow service may not take both processes."""
    from control.notifications.delivering import deliver

    store, token = default_store(), token_hex(8)
    try:
        if not store.hold_lease(_NOTIFICATIONS_LEASE, token, _LONGEST_ROUND_MS):
            return
        try:
            source = store.source()
            deliver(source.kind if source is not None else "live")
        finally:
            store.release_lease(_NOTIFICATIONS_LEASE, token)
    except (DatabaseError, redis.ConnectionError, redis.TimeoutError) as error:
        log.warning("notifications wait on: %s", error)


@shared_task(acks_late=False, ignore_result=True)
def run_backtest(backtest_id: int) -> None:
    """Carry out a backtest that was asked for over the API; what it found stands in its row.

    One at a time: two long ones would keep reference data and alerts waiting.
    """
    from control.backtests import carry_out

    store, token = default_store(), token_hex(8)
    if not store.hold_lease(_BACKTEST_LEASE, token, _LONGEST_BACKTEST_MS):
        run_backtest.apply_async((backtest_id,), countdown=_NEXT_BACKTEST_S, retry=False)
        return
    try:
        carry_out(backtest_id)
    finally:
        store.release_lease(_BACKTEST_LEASE, token)
