"""Alerts for good: from the engine's outbox into the database, each once."""

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from django.db import DataError, transaction

from control.models import Alert
from control.notifications import outbox
from processors.store import ALERTS_OUTBOX, Store

log = logging.getLogger(__name__)

_BATCH: Final = 500
# One call ends, whatever keeps coming.
_MOST_BATCHES: Final = 20
# Of the payload (`alerts.Alert`), what has a column of its own.
_COLUMNS: Final = ("id", "rule", "kind", "symbol", "at", "price", "note", "row")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def store_alerts(store: Store) -> int:
    """Put waiting alerts into the database, with what is to be delivered of them. One there already stays as it is.

    An alert leaves the outbox only when the database has it: an end in between, or two at once, lose nothing.

    Returns:
        How many were taken out of the outbox.

    Raises:
        DatabaseError: The database cannot be written; the alerts wait on.
        redis.RedisError: The cache is away.
    """
    taken = 0
    source = store.source()
    # Whoever plays yesterday does not want to be told of it on his telephone.
    notify = source is not None and source.kind != "recording"
    for _ in range(_MOST_BATCHES):
        waiting: list[bytes] = store.redis.lrange(ALERTS_OUTBOX, 0, _BATCH - 1)
        if not waiting:
            break
        _keep([row for raw in waiting if (row := _row(raw)) is not None], notify)
        with store.redis.pipeline(transaction=False) as pipe:
            for raw in waiting:
                # By value: another call may have taken the same ones out meanwhile.
                pipe.lrem(ALERTS_OUTBOX, 1, raw)
            taken += sum(pipe.execute())
    return taken


def _keep(rows: Sequence[Alert], notify: bool) -> None:
    try:
        _create(rows, notify)
    except DataError:
        # One that no database can hold must not keep all others from it.
        for row in rows:
            try:
                _create([row], notify)
            except DataError:
                log.exception("the alert %s of %s cannot be kept", row.id, row.rule)


def _create(rows: Sequence[Alert], notify: bool) -> None:
    with transaction.atomic():
        Alert.objects.bulk_create(rows, ignore_conflicts=True)
        if notify:
            outbox.take(rows)


def _row(raw: bytes) -> Alert | None:
    try:
        alert = _decode(raw)
        columns = {name: alert[name] for name in _COLUMNS}
        return Alert(**columns, trading_day=alert["row"]["trading_day"])
    except (msgspec.DecodeError, KeyError):
        log.exception("an alert that cannot be read is left out")
        return None
