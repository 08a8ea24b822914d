"""Price levels over the API: each user's own."""

from typing import Any, Final

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import PatchDict, Router, Schema, Status
from ninja.errors import HttpError
from pydantic import ConfigDict

from control.api.auth import user_of
from control.api.changing import save_changes
from control.api.problems import Problem
from control.models import PriceLevel

router = Router()

# Each is looked at with every tick.
_MOST: Final = 500


class Level(Schema):
    """A price at which you want to hear of a symbol: when it goes `above`, `below`, or either (`cross`)."""

    model_config = ConfigDict(extra="forbid")

    symbol: str
    price: float
    direction: str = "cross"
    note: str = ""
    enabled: bool = True
    cooldown_s: int = 300


class LevelOut(Level):
    """A level as it is; its alerts have the rule `level:{id}`."""

    model_config = ConfigDict(extra="ignore")

    id: int


@router.get("", response=list[LevelOut])
def list_levels(request: HttpRequest, symbol: str | None = None) -> Any:
    """Your price levels, of one symbol or of all."""
    levels = PriceLevel.objects.filter(user=user_of(request))
    return levels.filter(symbol=symbol) if symbol is not None else levels


@router.post("", response={201: LevelOut, 409: Problem, 422: Problem})
def create_level(request: HttpRequest, body: Level) -> Any:
    """Set a level. It stands within a second."""
    user = user_of(request)
    if PriceLevel.objects.filter(user=user).count() >= _MOST:
        raise HttpError(409, f"You have {_MOST} price levels; remove one first.")
    level = PriceLevel(user=user, **body.model_dump())
    level.full_clean()
    level.save()
    return Status(201, level)


@router.get("/{level_id}", response={200: LevelOut, 404: Problem})
def read_level(request: HttpRequest, level_id: int) -> Any:
    """One level."""
    return get_object_or_404(PriceLevel, user=user_of(request), pk=level_id)


@router.patch("/{level_id}", response={200: LevelOut, 404: Problem, 422: Problem})
def change_level(request: HttpRequest, level_id: int, body: PatchDict[Level]) -> Any:
    """Change what is named, and nothing else."""
    return save_changes(get_object_or_404(PriceLevel, user=user_of(request), pk=level_id), body)


@router.delete("/{level_id}", response={204: None, 404: Problem})
def delete_level(request: HttpRequest, level_id: int) -> Any:
    """Remove a level. Its alerts stay."""
    get_object_or_404(PriceLevel, user=user_of(request), pk=level_id).delete()
    return Status(204, None)
