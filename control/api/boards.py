"""Boards over the API: what a scanner shows, as the engine last published it."""

from typing import Any

import msgspec
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema

from control.api.auth import check_may_read, user_of
from control.api.problems import Problem
from control.models import Scanner
from processors.store import default_store

router = Router()


class Board(Schema):
    """A board; `rows` is null where the engine has published none yet."""

    slug: str
    rows: list[dict[str, Any]] | None


@router.get("/{slug}", response={200: Board, 403: Problem, 404: Problem})
def read_board(request: HttpRequest, slug: str) -> Any:
    """The rows of a scanner's board, best first. To follow it, subscribe to `scanners:{slug}` at `/ws`."""
    check_may_read(request, f"scanners:{slug}")
    scanner = get_object_or_404(Scanner.objects.visible_to(user_of(request)), slug=slug)
    kept = default_store().redis.get(f"scanners:{scanner.slug}")
    return Board(slug=slug, rows=None if kept is None else msgspec.json.decode(kept))
