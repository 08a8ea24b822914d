"""Sockets over the API, for operators: who is connected to `/ws`, since when, to what, and how far behind."""

from typing import Any

from django.http import HttpRequest
from msgspec import structs
from ninja import Query, Router, Schema
from ninja.errors import HttpError
from pydantic import Field, create_model

from control.api.auth import needs, user_of
from control.api.problems import Problem
from control.connected import may_see, who_is_connected
from control.models.tokens import Scope
from processors.store import default_store
from widgets.visitors.presence import Connection

router = Router(auth=needs(Scope.OPERATE))


class Search(Schema):
    """Which sockets to list; all of it has to match. The totals are of all."""

    user: str | None = Field(None, description="A user's name.")
    feed: str | None = Field(None, description="A feed or pattern, as it was subscribed to.")
    limit: int = Field(100, ge=1, le=1_000)


class ProcessOut(Schema):
    """One web process; its rates are those of the last second."""

    name: str
    since: int
    sockets: int
    authorised: int
    subscriptions: int
    deliveries_per_s: float
    bytes_per_s: float
    sent: int
    dropped: int
    conflated: int
    behind_ms: int


# A socket as its process says it, and which process that is.
_FIELDS: Any = {"process": (str, ...)} | {field.name: (field.type, ...) for field in structs.fields(Connection)}
SocketOut = create_model(
    "SocketOut",
    __base__=Schema,
    __doc__="One open socket; `behind_ms` is how long the oldest message that it has not read has waited.",
    **_FIELDS,
)


class SocketsOut(Schema):
    """All web processes that are alive, and their feeds and sockets: the most backward first, then the oldest."""

    total: int
    processes: list[ProcessOut]
    feeds: dict[str, int]
    sockets: list[SocketOut]  # type: ignore[valid-type]  # made above


@router.get("", response={200: SocketsOut, 403: Problem})
def list_sockets(request: HttpRequest, search: Query[Search]) -> Any:
    """Who is connected. For staff with the permission to see sockets; at most 500 sockets a process are known."""
    if not may_see(user_of(request)):
        raise HttpError(403, "Who is connected is for staff with the permission to see sockets.")
    found = who_is_connected(default_store().redis, search.user, search.feed, search.limit)
    sockets = [{"process": name, **structs.asdict(connection)} for name, connection in found.sockets]
    return found._asdict() | {"sockets": sockets}
