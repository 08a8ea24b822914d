"""The feed's settings, changed by an operation and followed by listener and `up`."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from django.db import transaction

from control.models import FeedSettings
from control.operations.answers import ANSWER_S
from control.operations.operation import Asked, CannotBeDone
from control.selectors import feed_settings
from processors.components.instructions import Answer, NobodyThere, instruct
from processors.store import LISTENER_STATE, Store


def change(**values: Any) -> tuple[dict[str, Any], FeedSettings]:
    """Save settings as the next revision.

    Returns:
        What stood before, and the row as it is now.

    Raises:
        django.core.exceptions.ValidationError: A value cannot be used.
    """
    with transaction.atomic():
        row = FeedSettings.objects.select_for_update().order_by("pk").first() or FeedSettings()
        before = {name: getattr(row, name) for name in values}
        for name, value in values.items():
            setattr(row, name, value)
        row.full_clean()
        row.save()
    return before, row


def check(**values: Any) -> None:
    """Refuse values that the settings do not take.

    Raises:
        django.core.exceptions.ValidationError: With what is wrong, by setting.
    """
    row = feed_settings()
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean()


def have_look(asked: Asked[Any], who: str) -> list[Answer]:
    """Tell a component to follow the settings at once, which it does before long by itself; what it answered."""
    with suppress(NobodyThere):
        return instruct(asked.store.redis, who, "look", {}, timeout_s=min(ANSWER_S, asked.left_s))
    return []


def listener_follows(
    asked: Asked[Any], revision: int, as_wanted: Callable[[dict[str, Any]], bool]
) -> tuple[bool, dict[str, Any]]:
    """Wait until the listener follows a revision of the settings.

    Args:
        asked: The operation under way.
        revision: The settings'.
        as_wanted: Whether what the listener says of itself is what was wanted.

    Returns:
        Whether it does, and what it says last; empty when none reports.
    """

    def follows(state: dict[str, Any]) -> bool:
        return bool(state) and int(state.get("settings_revision") or -1) >= revision and as_wanted(state)

    answers = have_look(asked, "listener")
    # Where several are there, one of them leads, and alone writes what it says into the cache, twice a second.
    if len(answers) == 1 and answers[0].ok and follows(answers[0].after):
        return True, answers[0].after
    followed = asked.wait(lambda: follows(listener_state(asked.store)))
    return followed, listener_state(asked.store)


def overtaken(state: dict[str, Any], revision: int) -> bool:
    """Whether the listener follows settings that somebody has saved after these."""
    return int(state.get("settings_revision") or -1) > revision


def listener_state(store: Store) -> dict[str, Any]:
    """What the listener says of itself; empty when none reports."""
    raw = store.redis.get(LISTENER_STATE)
    state: dict[str, Any] = msgspec.json.decode(raw) if raw is not None else {}
    return state


def check_listens(store: Store) -> dict[str, Any]:
    """What the listener says of itself.

    Raises:
        CannotBeDone: None reports.
    """
    state = listener_state(store)
    if not state:
        raise CannotBeDone("No listener reports: is it running? `manage.py up` and compose keep one.")
    return state
