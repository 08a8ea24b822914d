"""Carrying alerts to their targets: each at least once, none more often than people bear."""

import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from datetime import datetime, timedelta
from threading import get_ident
from typing import Any, Final

from apprise import NotifyBase
from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from control.models import Alert, NotificationDelivery, NotificationTarget, Scanner
from control.notifications.addresses import BadAddress, check_way, service_of, without_secrets
from control.notifications.guard import public_only
from control.notifications.wording import body, subject

log = logging.getLogger(__name__)

MOST_ATTEMPTS: Final = 6
# After the first failure; each further one doubles it. The last is some four minutes after the first.
_FIRST_PAUSE_S: Final = 8.0
# A target hears from us no more often than this; what came meanwhile goes in one message.
_EVERY_S: Final = 3.0
_MOST_IN_A_MESSAGE: Final = 20
_MOST_AT_ONCE: Final = 8
_MOST_TARGETS_A_ROUND: Final = 32
# Services of strangers may answer drop by drop, for ever.
_LONGEST_ROUND_S: Final = 45.0
# What is in hand is nobody else's for so long, which is more than a round; after an end in the middle it is due again.
_IN_HAND: Final = timedelta(seconds=90)
_KEPT: Final = timedelta(days=30)
_FORGOTTEN_AT_ONCE: Final = 1_000
# Of a target that was switched off meanwhile, say.
_WORTH_SENDING: Final = timedelta(days=1)
# Whoever takes webhooks can tell a repeat without reading the text.
_ID_HEADER: Final = "X-Tapewatch-Alert"
_LONGEST_ERROR: Final = 500

# The targets that this process is sending to, those of earlier rounds that do not end among them.
_spoken_to: Final[set[int]] = set()


def deliver(kind: str) -> int:
    """Send what is due, one message a target, the targets side by side.

    A message that a target has taken is marked only then: an end in between sends it again, with the same ids.

    Args:
        kind: Of the present source, as messages say it.

    Returns:
        How many alerts have arrived.

    Raises:
        django.db.DatabaseError: The database cannot be used.
    """
    now = timezone.now()
    ready = [rows for target in _due_targets(now) if target.pk not in _spoken_to and (rows := _due(target, now))]
    if not ready:
        return 0
    _put_off([row for rows in ready for row in rows], now + _IN_HAND)
    names = dict(Scanner.objects.values_list("slug", "name"))
    threads = ThreadPoolExecutor(_MOST_AT_ONCE, "notify")
    sending = {threads.submit(_speak, rows, names, kind): rows for rows in ready}
    arrived = 0
    try:
        for sent in as_completed(list(sending), _LONGEST_ROUND_S):
            arrived += _settle(sending.pop(sent), sent.result())
    except TimeoutError:
        for sent, rows in sending.items():
            if sent.cancel():
                _put_off(rows, now)
            else:
                late = f"No answer within {_LONGEST_ROUND_S:.0f} s."
                arrived += _settle(rows, sent.result() if sent.done() else late)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return arrived


def _speak(rows: Sequence[NotificationDelivery], names: dict[str, str], kind: str) -> str:
    # In a thread, which opens no database.
    target = rows[0].target
    _spoken_to.add(target.pk)
    try:
        return send(target, [row.alert for row in rows], names, kind)
    finally:
        _spoken_to.discard(target.pk)


def send(target: NotificationTarget, alerts: Sequence[Alert], names: dict[str, str], kind: str) -> str:
    """Send one message about some alerts.

    Returns:
        Why it did not arrive, fit to be shown; "" when it did.
    """
    ids = ",".join(alert.id for alert in alerts)
    return _notify(target.url, subject(alerts, names, kind), body(alerts, names), ids)


def send_test(target: NotificationTarget) -> str:
    """Send a message that says that it is a test, at once.

    Returns:
        Why it did not arrive, fit to be shown; "" when it did.
    """
    text = f"This is a test of the target {target.name}. Alerts that name it arrive here."
    error = _notify(target.url, "Tapewatch: a test", text, "test")
    _note(target, error, timezone.now())
    return error


def forget_old() -> int:
    """Give up what has waited for a day, and remove what is older than thirty; how many were removed."""
    now = timezone.now()
    waiting = NotificationDelivery.objects.filter(state=NotificationDelivery.State.WAITING)
    waiting.filter(created_at__lt=now - _WORTH_SENDING).update(state=NotificationDelivery.State.GIVEN_UP)
    old, removed = NotificationDelivery.objects.filter(created_at__lt=now - _KEPT).order_by("pk"), 0
    # A step takes the database's lock for a moment only.
    while some := list(old.values_list("pk", flat=True)[:_FORGOTTEN_AT_ONCE]):
        removed += NotificationDelivery.objects.filter(pk__in=some).delete()[0]
    return removed


def _notify(address: str, title: str, text: str, ids: str) -> str:
    try:
        service = service_of(address)
        check_way(service)
    except BadAddress as error:
        return str(error)
    headers: Any = getattr(service, "headers", None)
    if isinstance(headers, dict):
        headers[_ID_HEADER] = ids
    said = without_secrets(_sent(service, title, text), address)
    # What a stranger's server said may hold what no database can.
    return "".join(one if one.isprintable() else " " for one in said)[:_LONGEST_ERROR].strip()


class _Complaints(logging.Handler):
    """What apprise complains of in this thread; in others it speaks of other people's targets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = get_ident()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of ours."""
        if record.thread == self._thread:
            self.lines.append(record.getMessage().strip())


def _sent(service: NotifyBase, title: str, text: str) -> str:
    complaints, apprise = _Complaints(), logging.getLogger("apprise")
    apprise.addHandler(complaints)
    try:
        with nullcontext() if settings.NOTIFY_PRIVATE else public_only():
            if service.notify(body=text, title=title, body_format="text"):
                return ""
    except Exception as error:  # noqa: BLE001 - a service's code meets whatever a stranger's server answers
        return f"{service.service_name}: {type(error).__name__}"
    finally:
        apprise.removeHandler(complaints)
    return " ".join(filter(None, complaints.lines)) or f"{service.service_name} did not take it."


def _due_targets(now: datetime) -> QuerySet[NotificationTarget]:
    """Those that something waits for and that may hear from us again, whoever has waited longest first."""
    waiting = NotificationDelivery.objects.filter(state=NotificationDelivery.State.WAITING)
    rested = Q(last_sent_at__isnull=True) | Q(last_sent_at__lte=now - timedelta(seconds=_EVERY_S))
    # New alerts do not shorten the pause of a target that has failed, nor go to one that is being spoken to.
    found = NotificationTarget.reached().filter(rested, pk__in=waiting.filter(next_at__lte=now).values("target"))
    found = found.exclude(pk__in=waiting.filter(next_at__gt=now).values("target"))
    return found.order_by(F("last_sent_at").asc(nulls_first=True))[:_MOST_TARGETS_A_ROUND]


def _due(target: NotificationTarget, now: datetime) -> list[NotificationDelivery]:
    rows = target.deliveries.filter(state=NotificationDelivery.State.WAITING, next_at__lte=now)
    found = list(rows.order_by("pk").select_related("alert")[:_MOST_IN_A_MESSAGE])
    for row in found:
        row.target = target
    return found


def _put_off(rows: list[NotificationDelivery], until: datetime) -> None:
    NotificationDelivery.objects.filter(pk__in=[row.pk for row in rows]).update(next_at=until)


def _settle(rows: list[NotificationDelivery], error: str) -> int:
    """Note what came of one message; how many alerts arrived with it."""
    now = timezone.now()
    target = rows[0].target
    for row in rows:
        row.attempts += 1
        row.error = error
        if not error:
            row.state, row.sent_at = NotificationDelivery.State.SENT, now
        elif row.attempts >= MOST_ATTEMPTS:
            row.state = NotificationDelivery.State.GIVEN_UP
        else:
            row.next_at = now + timedelta(seconds=pause(row.attempts))
    NotificationDelivery.objects.bulk_update(rows, ["attempts", "error", "state", "sent_at", "next_at"])
    _note(target, error, now)
    if not error:
        return len(rows)
    given_up = sum(row.state == NotificationDelivery.State.GIVEN_UP for row in rows)
    log.warning(
        "target %d (%s): %d alerts not delivered, %d given up: %s", target.pk, target, len(rows), given_up, error
    )
    return 0


def pause(attempts: int) -> float:
    """Seconds until the next attempt; jitter keeps targets that failed together from coming back together."""
    return _FIRST_PAUSE_S * 2.0 ** (attempts - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def _note(target: NotificationTarget, error: str, now: datetime) -> None:
    # It may have been removed meanwhile.
    said: dict[str, Any] = {"last_error": error} if error else {"last_error": "", "last_sent_at": now}
    NotificationTarget.objects.filter(pk=target.pk).update(**said)
