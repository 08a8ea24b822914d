"""The audit log over the API: who had what done to the running system, and what came of it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import AfterValidator, AwareDatetime, Field

from control.api.auth import needs, user_of
from control.api.paging import Paging, page_of
from control.api.problems import Problem
from control.models import AuditEntry
from control.models.tokens import Scope
from control.roles import check

router = Router(auth=needs(Scope.OPERATE))

_PERMISSION = "control.view_auditentry"
# No entry is older or newer; at the calendar's own ends a time cannot be had in another zone.
_OLDEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEWEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: min(max(moment, _OLDEST), _NEWEST))]


class EntryOut(Schema):
    """One operation that somebody asked for, with its outcome."""

    id: int
    at: datetime
    username: str = Field(description="Who, as he was called then.")
    via: AuditEntry.Via
    address: str = Field(description="The client's.")
    operation: str
    target: str = Field(description="What it was done to.")
    parameters: dict[str, Any]
    before: Any
    after: Any
    state: AuditEntry.State = Field(description="`asked` while it is under way, and when the web process died then.")
    result: str = Field(description="What the component answered, in words.")
    finished_at: datetime | None


class Search(Paging):
    """What to look for; all of it has to match."""

    operation: str | None = Field(None, max_length=60, examples=["listener.stop"])
    username: str | None = Field(None, max_length=150)
    state: AuditEntry.State | None = None
    via: AuditEntry.Via | None = None
    since: Moment | None = Field(None, description="Asked for at this time, with its zone, or later.")
    until: Moment | None = Field(None, description="Asked for before this time.")
    limit: int = Field(100, ge=1, le=500, description="At most so many.")


@router.get("", response={200: list[EntryOut], 403: Problem, 422: Problem})
def search_audit_log(request: HttpRequest, response: HttpResponse, search: Query[Search]) -> Any:
    """Search the audit log, newest first; the next page stands in `Link`."""
    check(user_of(request), _PERMISSION)
    wanted = {
        "operation": search.operation,
        "username": search.username,
        "state": search.state,
        "via": search.via,
        "at__gte": search.since,
        "at__lt": search.until,
    }
    found = AuditEntry.objects.filter(**{name: value for name, value in wanted.items() if value is not None})
    return page_of(request, response, found, ("-id",), search)


@router.get("/{entry_id}", response={200: EntryOut, 403: Problem, 404: Problem})
def read_audit_entry(request: HttpRequest, entry_id: int) -> Any:
    """One entry."""
    check(user_of(request), _PERMISSION)
    return get_object_or_404(AuditEntry, pk=entry_id)
