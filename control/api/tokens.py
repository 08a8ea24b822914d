"""API tokens over the API: each user's own. A token is shown once, when it is made; afterwards there is its hash."""

from datetime import datetime, timedelta
from typing import Any, Final

from allauth.account.internal.flows.reauthentication import is_reauthentication_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from ninja.errors import AuthorizationError, HttpError
from pydantic import ConfigDict, Field

from control.api import limits
from control.api.auth import needs, token_of, user_of
from control.api.paging import Paging, page_of
from control.api.problems import Problem
from control.models import ApiToken
from control.models.tokens import Scope, usual_scopes
from control.roles import check

router = Router(auth=needs(Scope.TOKENS))

# Of those that are good, for one user.
_MOST: Final = 100
_MOST_DAYS: Final = 3_650
_EXAMPLE: Final[dict[str, Any]] = {"name": "notebook", "scopes": ["read"], "days": 90}
_EXAMPLE_OUT: Final[dict[str, Any]] = {
    "id": 12,
    "name": "notebook",
    "hint": "x3Qa",
    "scopes": ["read"],
    "state": "valid",
    "created_at": "2026-03-02T14:31:00Z",
    "last_used_at": None,
    "expires_at": "2026-05-31T14:31:00Z",
    "revoked_at": None,
}


class NewToken(Schema):
    """What a token is for, what it may be used for, and for how many days; null: until it is revoked."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    name: str = Field("", max_length=100)
    scopes: list[Scope] = Field([Scope(scope) for scope in usual_scopes()], min_length=1)
    days: int | None = Field(None, ge=1, le=_MOST_DAYS)


class TokenOut(Schema):
    """A token without its secret, of which `hint` are the last characters; `state` says whether it is good."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE_OUT})

    id: int
    name: str
    hint: str
    scopes: list[str]
    state: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


class MadeToken(TokenOut):
    """A token that was just made, with its secret."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_EXAMPLE_OUT, "token": "tw_" + "0" * 39 + "x3Qa"}},
    )

    token: str = Field(description="Shown this once.")


@router.get("", response={200: list[TokenOut], 422: Problem})
def list_tokens(request: HttpRequest, response: HttpResponse, paging: Query[Paging]) -> Any:
    """Your tokens, in the order in which they were made; those that are good no longer are among them."""
    rows = ApiToken.objects.filter(user=user_of(request)).select_related("user")
    return page_of(request, response, rows, ("id",), paging)


@router.post("", response={201: MadeToken, 403: Problem, 409: Problem, 422: Problem})
def create_token(request: HttpRequest, response: HttpResponse, body: NewToken) -> Any:
    """Make a token. One made with a token may be used for no more, and no longer, than that.

    With a login, who came in over five minutes ago has to give his password once more, at `/accounts/reauthenticate/`.
    """
    user = user_of(request)
    check(user, "control.add_apitoken")
    maker = token_of(request)
    if maker is None and is_reauthentication_required(request, app=""):
        raise AuthorizationError(message="Give your password once more, at /accounts/reauthenticate/, then make it.")
    limits.count_user(request, limits.NEW_TOKENS)
    if ApiToken.standing().filter(user=user).count() >= _MOST:
        raise HttpError(409, f"You have {_MOST} tokens; revoke one first.")
    _check_against(maker, body)
    row, token = ApiToken.issue(user, body.name, body.days, set(body.scopes))
    response["Location"] = f"{request.path}/{row.pk}"
    response["Cache-Control"] = "no-store"
    return Status(201, TokenOut.from_orm(row).model_dump() | {"token": token})


@router.get("/{token_id}", response={200: TokenOut, 404: Problem})
def read_token(request: HttpRequest, token_id: int) -> Any:
    """One token of yours."""
    return get_object_or_404(ApiToken.objects.select_related("user"), user=user_of(request), pk=token_id)


@router.delete("/{token_id}", response={204: None, 403: Problem, 404: Problem})
def revoke_token(request: HttpRequest, token_id: int) -> Any:
    """Revoke a token, for good. Sockets that it opened are closed within a second."""
    user = user_of(request)
    check(user, "control.change_apitoken")
    token = get_object_or_404(ApiToken, user=user, pk=token_id)
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
    return Status(204, None)


def _check_against(maker: ApiToken | None, body: NewToken) -> None:
    """Let no token outgrow the one that it is made with."""
    if maker is None:
        return
    if beyond := sorted(set(body.scopes) - set(maker.scopes)):
        raise AuthorizationError(message=f"The token that you make it with has not the scope {', '.join(beyond)}.")
    if maker.expires_at is None:
        return
    if body.days is None or timezone.now() + timedelta(days=body.days) > maker.expires_at:
        until = f"{maker.expires_at:%Y-%m-%d %H:%M} UTC"
        raise ValidationError({"days": f"The token that you make it with expires at {until}: use less."})
