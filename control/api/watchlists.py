"""Watchlists over the API: symbols that somebody keeps an eye on, in his order; each user's own."""

from datetime import datetime
from typing import Any, Final, cast

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import PatchDict, Query, Router, Schema, Status
from ninja.errors import HttpError
from pydantic import ConfigDict, Field

from control.api.auth import user_of
from control.api.changing import save_changes
from control.api.paging import Paging, page_of
from control.api.problems import Problem
from control.api.versions import check_version
from control.models import Watchlist
from control.models.workspace import MOST_SYMBOLS
from control.roles import check

router = Router()

_MOST: Final = 100
_EXAMPLE: Final[dict[str, Any]] = {"name": "Semiconductors", "symbols": ["NVDA", "AMD", "AVGO", "BRK.A"]}


class WatchlistContent(Schema):
    """A list's name, and its symbols in order, each once."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: str = Field(min_length=1, max_length=100)
    symbols: list[str] = Field([], max_length=MOST_SYMBOLS)


class WatchlistOut(WatchlistContent):
    """A list as it is."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {
                **_EXAMPLE,
                "id": 3,
                "created_at": "2026-03-02T14:31:00Z",
                "updated_at": "2026-03-02T15:02:11Z",
            }
        },
    )

    id: int
    created_at: datetime
    updated_at: datetime


@router.get("", response={200: list[WatchlistOut], 422: Problem})
def list_watchlists(request: HttpRequest, response: HttpResponse, paging: Query[Paging]) -> Any:
    """Your watchlists, by name."""
    return page_of(request, response, Watchlist.objects.filter(owner=user_of(request)), ("name", "id"), paging)


@router.post("", response={201: WatchlistOut, 403: Problem, 409: Problem, 422: Problem})
def create_watchlist(request: HttpRequest, response: HttpResponse, body: WatchlistContent) -> Any:
    """Make a watchlist."""
    user = user_of(request)
    check(user, "control.add_watchlist")
    if Watchlist.objects.filter(owner=user).count() >= _MOST:
        raise HttpError(409, f"You have {_MOST} watchlists; delete one first.")
    watchlist = Watchlist(owner=user, **body.model_dump())
    watchlist.full_clean()
    watchlist.save(force_insert=True)
    response["Location"] = f"{request.path}/{watchlist.pk}"
    return Status(201, watchlist)


@router.get("/{watchlist_id}", response={200: WatchlistOut, 404: Problem})
def read_watchlist(request: HttpRequest, watchlist_id: int) -> Any:
    """One watchlist. Its `ETag` is what a change can be made to depend on."""
    return get_object_or_404(Watchlist, owner=user_of(request), pk=watchlist_id)


@router.patch("/{watchlist_id}", response={200: WatchlistOut, 403: Problem, 404: Problem, 412: Problem, 422: Problem})
def change_watchlist(request: HttpRequest, watchlist_id: int, body: PatchDict[WatchlistContent]) -> Any:
    """Change what is named, and nothing else. With `If-Match`: only if nobody has changed it since."""
    check(user_of(request), "control.change_watchlist")
    with transaction.atomic():
        watchlist = _own(request, watchlist_id)
        return save_changes(watchlist, {**body, "updated_at": watchlist.updated_at})


@router.delete("/{watchlist_id}", response={204: None, 403: Problem, 404: Problem, 412: Problem})
def delete_watchlist(request: HttpRequest, watchlist_id: int) -> Any:
    """Delete a watchlist. With `If-Match`: only if nobody has changed it since."""
    check(user_of(request), "control.delete_watchlist")
    with transaction.atomic():
        _own(request, watchlist_id).delete()
    return Status(204, None)


def _own(request: HttpRequest, watchlist_id: int) -> Watchlist:
    """A watchlist of the caller's, locked, as he saw it."""
    rows = cast("QuerySet[Watchlist]", Watchlist.objects.select_for_update())
    watchlist = get_object_or_404(rows, owner=user_of(request), pk=watchlist_id)
    check_version(request, WatchlistOut, watchlist)
    return watchlist
