"""Price levels over the API: each user's own."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import PatchDict, Query, Router, Schema, Status
from ninja.errors import HttpError
from pydantic import ConfigDict

from control.api.auth import user_of
from control.api.changing import save_changes
from control.api.paging import Paging, page_of
from control.api.problems import Problem
from control.models import PriceLevel
from control.roles import check

router = Router()

# Each is looked at with every tick.
_MOST: Final = 500


class Level(Schema):
    """A price at which you want to hear of a symbol: when it goes `above`, `below`, or either (`cross`)."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"symbol": "AAPL", "price": 240.0, "direction": "above"}}
    )

    symbol: str
    price: float
    direction: str = "cross"
    note: str = ""
    enabled: bool = True
    cooldown_s: int = 300
    notify: list[str] = []


class LevelOut(Level):
    """A level as it is; its alerts have the rule `level:{id}`."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"example": {"id": 5, "symbol": "AAPL", "price": 240.0, "direction": "above"}},
    )

    id: int


class Search(Paging):
    """Which levels."""

    symbol: str | None = None


@router.get("", response={200: list[LevelOut], 422: Problem})
def list_levels(request: HttpRequest, response: HttpResponse, search: Query[Search]) -> Any:
    """Your price levels, of one symbol or of all, by symbol and price."""
    levels = PriceLevel.objects.filter(user=user_of(request))
    if search.symbol is not None:
        levels = levels.filter(symbol=search.symbol)
    return page_of(request, response, levels, ("symbol", "price", "id"), search)


@router.post("", response={201: LevelOut, 403: Problem, 409: Problem, 422: Problem})
def create_level(request: HttpRequest, response: HttpResponse, body: Level) -> Any:
    """Set a level. It stands within a second."""
    user = user_of(request)
    check(user, "control.add_pricelevel")
    if PriceLevel.objects.filter(user=user).count() >= _MOST:
        raise HttpError(409, f"You have {_MOST} price levels; remove one first.")
    level = PriceLevel(user=user, **body.model_dump())
    level.full_clean()
    level.save()
    response["Location"] = f"{request.path}/{level.pk}"
    return Status(201, level)


@router.get("/{level_id}", response={200: LevelOut, 404: Problem})
def read_level(request: HttpRequest, level_id: int) -> Any:
    """One level."""
    return get_object_or_404(PriceLevel, user=user_of(request), pk=level_id)


@router.patch("/{level_id}", response={200: LevelOut, 403: Problem, 404: Problem, 422: Problem})
def change_level(request: HttpRequest, level_id: int, body: PatchDict[Level]) -> Any:
    """Change what is named, and nothing else."""
    check(user_of(request), "control.change_pricelevel")
    return save_changes(get_object_or_404(PriceLevel, user=user_of(request), pk=level_id), body)


@router.delete("/{level_id}", response={204: None, 403: Problem, 404: Problem})
def delete_level(request: HttpRequest, level_id: int) -> Any:
    """Remove a level. Its alerts stay."""
    check(user_of(request), "control.delete_pricelevel")
    get_object_or_404(PriceLevel, user=user_of(request), pk=level_id).delete()
    return Status(204, None)
