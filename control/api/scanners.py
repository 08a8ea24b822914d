"""Scanners over the API: to list, make, change and try, and the fields that they are written over."""

from typing import Any, Final

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import PatchDict, Query, Router, Schema, Status
from ninja.errors import AuthorizationError, HttpError
from pydantic import ConfigDict, Field

from control.api import limits
from control.api.auth import EVERY_BOARD, check_may_read, needs, user_of
from control.api.changing import save_changes
from control.api.paging import Paging, page_of
from control.api.problems import Problem
from control.api.versions import check_version
from control.models import Scanner
from control.models.tokens import Scope
from control.roles import check
from processors import fields

router = Router()
fields_router = Router()

# All of them are ranked again and again, for everybody's boards to be on time.
_MOST_OWN: Final = 50
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "Small caps on volume",
    "description": "Cheap, moving, and traded more than usual.",
    "where": "price BETWEEN 1 AND 20 AND pct_change > 5 AND relative_volume > 2",
    "order_by": "pct_change",
    "columns": ["price", "pct_change", "accumulated_volume", "relative_volume"],
    "alert_on": "enter",
    "sound": "chime",
}


class ScannerContent(Schema):
    """What people write."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: str
    description: str = ""
    where: str = ""
    order_by: str
    descending: bool = True
    limit: int = 50
    columns: list[str] = ["price", "pct_change", "accumulated_volume"]
    position: int = 100
    tick_ms: int = 1_000
    enabled: bool = True
    alert_on: str = ""
    cooldown_s: int = 300
    sound: str = ""
    notify: list[str] = []


class NewScanner(ScannerContent):
    """A scanner to be made. Its slug is its feed's name and never changes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"slug": "my_small_caps", **_EXAMPLE}})

    slug: str
    shipped: bool = Field(False, description="For everyone, without an owner; staff alone make and change these.")


class ScannerOut(ScannerContent):
    """A scanner as it is; `owner` is null for those that everyone sees."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"example": {"slug": "my_small_caps", "owner": "trader", **_EXAMPLE}}
    )

    slug: str
    owner: str | None

    @staticmethod
    def resolve_owner(scanner: Scanner) -> str | None:
        """The owner's name."""
        return scanner.owner.get_username() if scanner.owner is not None else None


class Expressions(Schema):
    """What is checked as one types."""

    model_config = ConfigDict(json_schema_extra={"example": {"where": "price > 5 AND prise < 9", "order_by": "price"}})

    where: str = ""
    order_by: str = "accumulated_volume"


class Trouble(Schema):
    """What is wrong in a text, and where: characters `start` to `end`, from 0, the end not included."""

    field: str
    message: str
    start: int
    end: int


class Verdict(Schema):
    """Whether the texts can be used."""

    valid: bool
    errors: list[Trouble]


class Trial(Expressions):
    """A scanner that is not one yet."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"where": "price > 5 AND pct_change > 3", "order_by": "pct_change", "limit": 10}}
    )

    descending: bool = True
    limit: int = Field(50, ge=1, le=500)


class Rows(Schema):
    """Rows as a board would show them now, best first, and how long finding them took."""

    rows: list[dict[str, Any]]
    market_clock: int | None
    took_ms: float


class FieldOut(Schema):
    """A field of a row."""

    name: str
    label: str
    unit: str
    description: str
    formula: str
    source: str


@router.get("", response={200: list[ScannerOut], 422: Problem})
def list_scanners(request: HttpRequest, response: HttpResponse, paging: Query[Paging]) -> Any:
    """The shipped scanners and your own, as they stand on the dashboard; staff get everyone's."""
    rows = Scanner.objects.visible_to(user_of(request)).select_related("owner")
    return page_of(request, response, rows, ("position", "slug"), paging)


@router.post("", response={201: ScannerOut, 403: Problem, 409: Problem, 422: Problem})
def create_scanner(request: HttpRequest, response: HttpResponse, body: NewScanner) -> Any:
    """Make a scanner. Its board is at `scanners:{slug}` within a second."""
    user = user_of(request)
    check(user, "control.add_scanner")
    if body.shipped and not user.is_staff:
        raise AuthorizationError(message="Only staff make scanners for everyone.")
    if not user.is_staff and Scanner.objects.filter(owner=user).count() >= _MOST_OWN:
        raise HttpError(409, f"You have {_MOST_OWN} scanners; delete one first.")
    scanner = Scanner(owner=None if body.shipped else user, **body.model_dump(exclude={"shipped"}))
    scanner.full_clean()
    scanner.save(force_insert=True)
    response["Location"] = f"{request.path}/{scanner.slug}"
    return Status(201, scanner)


# Before those by slug, which would take these for one.
@router.post("/validate", response=Verdict, auth=needs(Scope.READ))
def validate(request: HttpRequest, body: Expressions) -> Any:
    """Check the texts as one types; what is wrong comes with its place and what was probably meant."""
    from processors.scanning.scan import problems  # polars: only where it is needed

    limits.count_user(request, limits.VALIDATIONS)
    errors = [
        Trouble(field=name, message=str(error), start=error.start, end=error.end)
        for name, error in problems(body.where, body.order_by).items()
    ]
    return Verdict(valid=not errors, errors=errors)


@router.post("/preview", response={200: Rows, 403: Problem, 422: Problem}, auth=needs(Scope.READ))
def preview(request: HttpRequest, body: Trial) -> Any:
    """The rows that such a scanner would show now, for who may read every board."""
    from control.preview import preview_rows  # polars: only where it is needed

    limits.count_user(request, limits.PREVIEWS)
    check_may_read(request, EVERY_BOARD)
    return preview_rows(body.where, body.order_by, body.descending, body.limit)


@router.get("/{slug}", response={200: ScannerOut, 404: Problem})
def read_scanner(request: HttpRequest, slug: str) -> Any:
    """One scanner. Its `ETag` is what a change can be made to depend on."""
    return get_object_or_404(Scanner.objects.visible_to(user_of(request)).select_related("owner"), slug=slug)


@router.patch("/{slug}", response={200: ScannerOut, 403: Problem, 404: Problem, 412: Problem, 422: Problem})
def change_scanner(request: HttpRequest, slug: str, body: PatchDict[ScannerContent]) -> Any:
    """Change what is named, and nothing else. With `If-Match`: only if nobody has changed it since."""
    with transaction.atomic():
        return save_changes(_changeable(request, slug, "change"), body)


@router.delete("/{slug}", response={204: None, 403: Problem, 404: Problem, 412: Problem})
def delete_scanner(request: HttpRequest, slug: str) -> Any:
    """Delete a scanner. Its alerts stay. With `If-Match`: only if nobody has changed it since."""
    with transaction.atomic():
        _changeable(request, slug, "delete").delete()
    return Status(204, None)


@fields_router.get("", response=list[FieldOut])
def list_fields(request: HttpRequest) -> Any:
    """Every field that `where`, `order_by` and `columns` can name."""
    return fields.as_json()


def _changeable(request: HttpRequest, slug: str, doing: str) -> Scanner:
    """A scanner that the caller may change, locked, as he saw it."""
    user = user_of(request)
    rows = Scanner.objects.visible_to(user).select_for_update(of=("self",)).select_related("owner")
    scanner = get_object_or_404(rows, slug=slug)
    check(user, f"control.{doing}_scanner")
    if not scanner.is_changeable_by(user):
        raise AuthorizationError(message="Only staff change the scanners that are everyone's; make one of your own.")
    check_version(request, ScannerOut, scanner)
    return scanner
