"""The running system over the API: how it does now and did lately, who is there, and where every event is."""

from typing import Any

import msgspec
import redis
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from control.api.auth import needs, user_of
from control.api.problems import Problem, problem
from control.api.structs import schema_of
from control.models.tokens import Scope
from control.roles import check
from control.system.collecting import collector
from control.system.example import EXAMPLE
from control.system.history import MINUTES, History, read_history
from control.system.state import SYSTEM_STATE, FeedAccounts, SystemState, read_state
from processors.components.report import Component, components
from processors.store import default_store

router = Router(auth=needs(Scope.OPERATE))

VIEW_SYSTEM = "control.view_system"
NOBODY_GATHERS = (
    "The system's state is not gathered: nobody has published it for ten seconds. Web processes do, once the cache "
    "answers."
)
CACHE_AWAY = (
    "The cache does not answer: nothing is merged, ranked or sent. `manage.py up` starts its own one again at once; "
    "another one is yours to start. Is REDIS_URL right?"
)
# Types that are made while the program runs.
_State: Any = schema_of(SystemState)
_History: Any = schema_of(History)
_Component: Any = schema_of(Component)
_Accounts: Any = dict[str, schema_of(FeedAccounts)]  # type: ignore[misc]


def _shown(answer: Any) -> dict[str, Any]:
    """An example of an answer, for the description."""
    return {"responses": {200: {"content": {"application/json": {"example": msgspec.to_builtins(answer)}}}}}


class Span(Schema):
    """How far back."""

    minutes: float = Field(MINUTES, gt=0, le=MINUTES, examples=[5])


@router.get("", response={200: _State, 403: Problem, 503: Problem}, openapi_extra=_shown(EXAMPLE))
def read_system(request: HttpRequest) -> Any:
    """How every component does and what is wrong, as of this second. To follow it: `status:components` at `/ws`."""
    check(user_of(request), VIEW_SYSTEM)
    try:
        published = default_store().redis.get(SYSTEM_STATE)
    except redis.RedisError:
        # Who gathers knows what was, and that this is what is wrong.
        known = collector.without_cache
        if known is None:
            return problem(503, CACHE_AWAY)
        published = msgspec.json.encode(known)
    if published is None:
        return problem(503, NOBODY_GATHERS)
    return HttpResponse(published, content_type="application/json")


@router.get(
    "/history",
    response={200: _History, 403: Problem, 422: Problem},
    openapi_extra=_shown(History(5_000, [EXAMPLE.at], {name: [value] for name, value in EXAMPLE.figures.items()})),
)
def read_system_history(request: HttpRequest, span: Query[Span]) -> Any:
    """A few dozen figures of the last minutes, one value every five seconds."""
    check(user_of(request), VIEW_SYSTEM)
    cache = default_store().redis
    seconds, microseconds = cache.time()
    since = round(seconds * 1_000 + microseconds / 1_000 - span.minutes * 60_000)
    return HttpResponse(msgspec.json.encode(read_history(cache, since)), content_type="application/json")


@router.get("/components", response={200: list[_Component], 403: Problem})
def list_components(request: HttpRequest) -> Any:
    """Every process that has said something within the last five seconds, with all that it said."""
    check(user_of(request), VIEW_SYSTEM)
    said = components(default_store().redis)
    return HttpResponse(msgspec.json.encode(said), content_type="application/json")


@router.get("/accounts", response={200: _Accounts, 403: Problem, 503: Problem}, openapi_extra=_shown(EXAMPLE.feeds))
def read_accounts(request: HttpRequest) -> Any:
    """Where every event of the present source is, by feed."""
    check(user_of(request), VIEW_SYSTEM)
    state = read_state(default_store().redis)
    if state is None:
        return problem(503, NOBODY_GATHERS)
    return HttpResponse(msgspec.json.encode(state.feeds), content_type="application/json")
