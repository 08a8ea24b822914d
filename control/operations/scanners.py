"""Scanners on and off."""

from typing import Any, Final

from pydantic import Field

from control.models import Scanner
from control.operations.answers import ANSWER_S, reporting
from control.operations.operation import (
    Asked,
    CannotBeDone,
    Choice,
    Choices,
    Operation,
    Outcome,
    Parameters,
    done,
    unanswered,
)
from processors.components.instructions import NobodyThere, instruct
from processors.store import Store

_PERMISSION: Final = "control.switch_scanner"
_ENGINE: Final = "scans"


class Slug(Parameters):
    """A scanner."""

    slug: str = Field(title="Scanner", description="Its slug.", max_length=100, examples=["top_gainers"])


def _switch(asked: Asked[Slug], enabled: bool) -> Outcome:
    slug = asked.parameters.slug
    scanner = Scanner.objects.filter(slug=slug).first()
    if scanner is None:
        raise CannotBeDone(f"There is no scanner {slug}.")
    before = {"enabled": scanner.enabled}
    Scanner.objects.filter(pk=scanner.pk).update(enabled=enabled)
    after = {"enabled": enabled}
    if not reporting(asked.store, _ENGINE) or not asked.wait(lambda: _runs(asked, slug) is enabled):
        return unanswered(
            "The setting is saved; no engine says that it follows. Does the worker of the scans run?", before, after
        )
    return done(f"The engine ranks {slug} {'again' if enabled else 'no more'}.", before, after)


def _runs(asked: Asked[Slug], slug: str) -> bool | None:
    """Whether the engine that has the turn ranks it, as of a whole tick from now; None: no engine says."""
    try:
        answers = instruct(asked.store.redis, _ENGINE, "look", {}, timeout_s=min(ANSWER_S, asked.left_s))
    except NobodyThere:
        return None
    scanners = [answer.after["scanners"] for answer in answers if answer.ok]
    return any(slug in ranked for ranked in scanners) if scanners else None


def _enable(asked: Asked[Slug]) -> Outcome:
    return _switch(asked, enabled=True)


def _disable(asked: Asked[Slug]) -> Outcome:
    return _switch(asked, enabled=False)


def _choices(enabled: bool) -> Any:
    def choices(store: Store) -> Choices:
        named = Scanner.objects.filter(enabled=enabled).order_by("position", "slug").values_list("slug", "name")
        return {"slug": [Choice(slug, name) for slug, name in named]}

    return choices


OPERATIONS: Final = (
    Operation(
        "scanners.enable",
        "Switch on",
        _PERMISSION,
        "The engine ranks the scanner's board from its next tick on, and gives its alerts.",
        Slug,
        _enable,
        target=lambda parameters: parameters.slug,
        choices=_choices(enabled=False),
    ),
    Operation(
        "scanners.disable",
        "Switch off",
        _PERMISSION,
        "The scanner's board becomes empty on every page that shows it, and it gives no alert until it is switched "
        "on again.",
        Slug,
        _disable,
        danger=True,
        target=lambda parameters: parameters.slug,
        choices=_choices(enabled=True),
    ),
)
