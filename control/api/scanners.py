"""Scanners over the API: to list, make, change and try, and the fields that they are written over."""

from typing import Any, Final

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import PatchDict, Router, Schema, Status
from ninja.errors import AuthorizationError, HttpError
from pydantic import ConfigDict, Field

from control.api.auth import EVERY_BOARD, PerUser, check_may_read, user_of
from control.api.changing import save_changes
from control.api.problems import Problem
from control.models import Scanner
from processors import fields

router = Router()
fields_router = Router()

# All of them are ranked again and again, for everybody's boards to be on time.
_MOST_OWN: Final = 50


class ScannerContent(Schema):
    """What people write."""

    model_config = ConfigDict(extra="forbid")

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

    slug: str
    shipped: bool = Field(False, description="For everyone, without an owner; staff alone make and change these.")


class ScannerOut(ScannerContent):
    """A scanner as it is; `owner` is null for those that everyone sees."""

    model_config = ConfigDict(extra="ignore")

    slug: str
    owner: str | None

    @staticmethod
    def resolve_owner(scanner: Scanner) -> str | None:
        """The owner's name."""
        return scanner.owner.get_username() if scanner.owner is not None else None


class Expressions(Schema):
    """What is checked as one types."""

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


@router.get("", response=list[ScannerOut])
def list_scanners(request: HttpRequest) -> Any:
    """The shipped scanners and your own; staff get everyone's."""
    return Scanner.objects.visible_to(user_of(request)).select_related("owner")


@router.post("", response={201: ScannerOut, 403: Problem, 409: Problem, 422: Problem})
def create_scanner(request: HttpRequest, body: NewScanner) -> Any:
    """Make a scanner. Its board is at `scanners:{slug}` within a second."""
    user = user_of(request)
    if body.shipped and not user.is_staff:
        raise AuthorizationError(message="Only staff make scanners for everyone.")
    if not user.is_staff and Scanner.objects.filter(owner=user).count() >= _MOST_OWN:
        raise HttpError(409, f"You have {_MOST_OWN} scanners; delete one first.")
    scanner = Scanner(owner=None if body.shipped else user, **body.model_dump(exclude={"shipped"}))
    scanner.full_clean()
    scanner.save(force_insert=True)
    return Status(201, scanner)


# Before those by slug, which would take these for one.
@router.post("/validate", response=Verdict, throttle=[PerUser("validate", "300/m")])
def validate(request: HttpRequest, body: Expressions) -> Any:
    """Check the texts as one types; what is wrong comes with its place and what was probably meant."""
    from processors.scanning.scan import problems  # polars: only where it is needed

    errors = [
        Trouble(field=name, message=str(error), start=error.start, end=error.end)
        for name, error in problems(body.where, body.order_by).items()
    ]
    return Verdict(valid=not errors, errors=errors)


@router.post("/preview", response={200: Rows, 403: Problem, 422: Problem}, throttle=[PerUser("preview", "60/m")])
def preview(request: HttpRequest, body: Trial) -> Any:
    """The rows that such a scanner would show now, for who may read every board."""
    from control.preview import preview_rows  # polars: only where it is needed

    check_may_read(request, EVERY_BOARD)
    return preview_rows(body.where, body.order_by, body.descending, body.limit)


@router.get("/{slug}", response={200: ScannerOut, 404: Problem})
def read_scanner(request: HttpRequest, slug: str) -> Any:
    """One scanner."""
    return get_object_or_404(Scanner.objects.visible_to(user_of(request)).select_related("owner"), slug=slug)


@router.patch("/{slug}", response={200: ScannerOut, 403: Problem, 404: Problem, 422: Problem})
def change_scanner(request: HttpRequest, slug: str, body: PatchDict[ScannerContent]) -> Any:
    """Change what is named, and nothing else."""
    return save_changes(_changeable(user_of(request), slug), body)


@router.delete("/{slug}", response={204: None, 403: Problem, 404: Problem})
def delete_scanner(request: HttpRequest, slug: str) -> Any:
    """Delete a scanner. Its alerts stay."""
    _changeable(user_of(request), slug).delete()
    return Status(204, None)


@fields_router.get("", response=list[FieldOut])
def list_fields(request: HttpRequest) -> Any:
    """Every field that `where`, `order_by` and `columns` can name."""
    return fields.as_json()


def _changeable(user: User, slug: str) -> Scanner:
    scanner = get_object_or_404(Scanner.objects.visible_to(user), slug=slug)
    if not scanner.is_changeable_by(user):
        raise AuthorizationError(message="Only staff change the scanners that are everyone's; make one of your own.")
    return scanner
