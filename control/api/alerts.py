"""Alerts over the API: the history, by day, symbol and rule."""

from datetime import date
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.errors import AuthorizationError, HttpError
from pydantic import Field

from control.api.auth import refusal, user_of
from control.api.problems import Problem
from control.models import Alert, FeedGrant

router = Router()


class Search(Schema):
    """What to look for; all of it has to match."""

    day: date | None = None
    symbol: str | None = None
    rule: str | None = None
    kind: str | None = None
    cursor: str | None = Field(None, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=500)


class AlertOut(Schema):
    """An alert, with its row as it was."""

    id: str
    rule: str
    kind: str
    symbol: str
    at: int
    trading_day: date
    price: float | None
    note: str
    row: dict[str, Any]


class Page(Schema):
    """Alerts, newest first; `next` is null on the last page."""

    alerts: list[AlertOut]
    next: str | None


@router.get("", response={200: Page, 403: Problem, 422: Problem})
def search_alerts(request: HttpRequest, search: Query[Search]) -> Any:
    """Search the alerts of the scanners that you see and of your own price levels; staff search all.

    Of them you get those whose feed, `alerts:{rule}`, you may read; who may read `alerts` gets all of them.
    """
    user = user_of(request)
    patterns = FeedGrant.objects.patterns_of([user.pk])[user.pk]
    if not any(pattern.startswith("alerts") for pattern in patterns):
        raise AuthorizationError(message=refusal("alerts"))
    found = Alert.objects.visible_to(user).granted(patterns)
    wanted = {"trading_day": search.day, "symbol": search.symbol, "rule": search.rule, "kind": search.kind}
    found = found.filter(**{name: value for name, value in wanted.items() if value is not None})
    if search.cursor is not None:
        at, _, last = search.cursor.partition(".")
        if not (at.isdecimal() and len(at) <= 18 and last.isalnum()):
            raise HttpError(422, "The cursor is none: use `next` of the page before.")
        # The first condition says nothing new; it lets the database begin there in the index.
        found = found.filter(Q(at__lte=int(at)), Q(at__lt=int(at)) | Q(id__lt=last))
    page = list(found.order_by("-at", "-id")[: search.limit + 1])
    more = len(page) > search.limit
    page = page[: search.limit]
    return {"alerts": page, "next": f"{page[-1].at}.{page[-1].id}" if more else None}
