"""Layouts over the API: how the page is arranged, each user's own, and what others share."""

from datetime import datetime
from typing import Any, Final, cast

from django.db import transaction
from django.db.models import Q, QuerySet
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
from control.models import Layout
from control.roles import check

router = Router()

_MOST: Final = 100
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "Opening",
    "content": {"widgets": [{"kind": "board", "feed": "scanners:top_gainers", "x": 0, "y": 0, "w": 6, "h": 8}]},
    "shared": False,
}


class LayoutContent(Schema):
    """What a page keeps. `content` is its own affair: a JSON object of at most 256 KB."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: str = Field(min_length=1, max_length=100)
    content: dict[str, Any] = {}
    shared: bool = Field(False, description="Others may read it.")


class LayoutSummary(Schema):
    """A layout without its content; `revision` grows with each change."""

    id: int
    name: str
    owner: str
    shared: bool
    revision: int
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def resolve_owner(layout: Layout) -> str:
        """The owner's name."""
        return str(layout.owner.get_username())


class LayoutOut(LayoutSummary):
    """A layout as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_EXAMPLE,
                "id": 7,
                "owner": "trader",
                "revision": 3,
                "created_at": "2026-03-02T14:31:00Z",
                "updated_at": "2026-03-02T15:02:11Z",
            }
        }
    )

    content: dict[str, Any]


class Search(Paging):
    """Whose layouts."""

    shared: bool = Field(False, description="Those that others share, too.")


@router.get("", response={200: list[LayoutSummary], 422: Problem})
def list_layouts(request: HttpRequest, response: HttpResponse, search: Query[Search]) -> Any:
    """Your layouts, by name; if asked for, those that others share, too."""
    rows = _readable(request) if search.shared else _layouts().filter(owner=user_of(request))
    return page_of(request, response, rows.defer("content"), ("name", "id"), search)


@router.post("", response={201: LayoutOut, 403: Problem, 409: Problem, 422: Problem})
def create_layout(request: HttpRequest, response: HttpResponse, body: LayoutContent) -> Any:
    """Keep a layout."""
    user = user_of(request)
    check(user, "control.add_layout")
    if Layout.objects.filter(owner=user).count() >= _MOST:
        raise HttpError(409, f"You have {_MOST} layouts; delete one first.")
    layout = Layout(owner=user, **body.model_dump())
    layout.full_clean()
    layout.save(force_insert=True)
    response["Location"] = f"{request.path}/{layout.pk}"
    return Status(201, layout)


@router.get("/{layout_id}", response={200: LayoutOut, 404: Problem})
def read_layout(request: HttpRequest, layout_id: int) -> Any:
    """One layout of yours, or one that somebody shares. Its `ETag` is what a change can be made to depend on."""
    return get_object_or_404(_readable(request), pk=layout_id)


@router.patch("/{layout_id}", response={200: LayoutOut, 403: Problem, 404: Problem, 412: Problem, 422: Problem})
def change_layout(request: HttpRequest, layout_id: int, body: PatchDict[LayoutContent]) -> Any:
    """Change what is named, and nothing else. With `If-Match`: only if nobody has changed it since."""
    check(user_of(request), "control.change_layout")
    with transaction.atomic():
        layout = _own(request, layout_id)
        save_changes(layout, {**body, "revision": layout.revision + 1, "updated_at": layout.updated_at})
        # PostgreSQL keeps the keys in an order of its own, and the answer's ETag is to be that of who reads it next.
        layout.refresh_from_db(fields=["content"])
        return layout


@router.delete("/{layout_id}", response={204: None, 403: Problem, 404: Problem, 412: Problem})
def delete_layout(request: HttpRequest, layout_id: int) -> Any:
    """Delete a layout. With `If-Match`: only if nobody has changed it since."""
    check(user_of(request), "control.delete_layout")
    with transaction.atomic():
        _own(request, layout_id).delete()
    return Status(204, None)


def _layouts() -> QuerySet[Layout]:
    return cast("QuerySet[Layout]", Layout.objects.select_related("owner"))


def _readable(request: HttpRequest) -> QuerySet[Layout]:
    return _layouts().filter(Q(owner=user_of(request)) | Q(shared=True))


def _own(request: HttpRequest, layout_id: int) -> Layout:
    """A layout of the caller's, locked, as he saw it."""
    rows = _layouts().select_for_update(of=("self",))
    layout = get_object_or_404(rows, owner=user_of(request), pk=layout_id)
    check_version(request, LayoutOut, layout)
    return layout
