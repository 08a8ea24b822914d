"""Long lists by the page: the next one is named in the `Link` header (RFC 8288), found by where this one ended."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Schema
from ninja.errors import HttpError
from pydantic import Field

_MOST: Final = 500
# A cursor that says more than any order needs is none of ours.
_LONGEST_CURSOR: Final = 1_000
Row = TypeVar("Row", bound=Model)


class Paging(Schema):
    """Which part of a list."""

    limit: int = Field(_MOST, ge=1, le=_MOST, description="At most so many.")
    cursor: str | None = Field(
        None, max_length=_LONGEST_CURSOR, description="From the `Link` of the page before, as it is."
    )


def page_of(
    request: HttpRequest, response: HttpResponse, rows: QuerySet[Row], order: Sequence[str], paging: Paging
) -> list[Row]:
    """One page of rows; where there are more, the answer's `Link` says how to get them.

    Args:
        request: The call.
        response: Its answer to be.
        rows: All of them.
        order: Columns to sort by, that together tell each row from every other; one after `-` descends.
        paging: What was asked for.

    Raises:
        HttpError: 422: the cursor is none of this list's.
    """
    rows = rows.order_by(*order)
    if paging.cursor is not None:
        rows = rows.filter(_after(rows.model, order, _values(paging.cursor, len(order))))
    page = list(rows[: paging.limit + 1])
    if len(page) > paging.limit:
        page.pop()
        query = request.GET.copy()
        query["cursor"] = _cursor([getattr(page[-1], name.removeprefix("-")) for name in order])
        query["limit"] = str(paging.limit)
        response["Link"] = f'<{request.path}?{urlencode(list(query.items()))}>; rel="next"'
    return page


def _after(model: type[Model], order: Sequence[str], values: Sequence[Any]) -> Q:
    """What comes after these values: beyond them in one column, and equal in those before it."""
    after, equal = Q(), Q()
    for name, value in zip(order, values, strict=True):
        beyond, name = ("lt", name[1:]) if name.startswith("-") else ("gt", name)
        column: Any = model._meta.get_field(name)
        try:
            value = column.to_python(value)
        except (ValidationError, TypeError, ValueError, OverflowError):
            raise _no_cursor() from None
        after |= equal & Q(**{f"{name}__{beyond}": value})
        equal &= Q(**{name: value})
    return after


def _cursor(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def _values(cursor: str, count: int) -> list[Any]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = msgspec.json.decode(text, type=list[str | int | float])
    except (binascii.Error, ValueError):
        raise _no_cursor() from None
    if len(values) != count or any("\0" in value for value in values if isinstance(value, str)):
        raise _no_cursor()
    return values


def _no_cursor() -> HttpError:
    return HttpError(422, "The cursor is none of this list: use the `Link` of the page before as it is.")
