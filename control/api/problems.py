"""Errors as problem details (RFC 9457, `application/problem+json`)."""

import logging
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import redis
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, DataError, IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, Throttled
from ninja.errors import ValidationError as BadRequest

from control.api.auth import InsufficientScopeError

log = logging.getLogger(__name__)


class Problem(Schema):
    """What went wrong. `errors` names the fields that it is about, each with what is wrong with it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: dict[str, list[str]] = {}


class UnavailableError(HttpError):
    """It cannot be had at the moment (503).

    Args:
        message: Why.
        wait: Seconds after which it may be.
    """

    def __init__(self, message: str, wait: float) -> None:
        self.wait = wait
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, message)


def problem(status: int, detail: str, errors: dict[str, list[str]] | None = None) -> JsonResponse:
    """A problem as a response."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or {})
    return JsonResponse(body.model_dump(), status=status, content_type=PROBLEM_TYPE)


PROBLEM_TYPE: Final = "application/problem+json"
_SAID: Final = {
    HTTPStatus.NOT_FOUND: "There is no such address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that method; `Allow` says which it takes.",
    HTTPStatus.BAD_REQUEST: "The request cannot be read, or is too large.",
    HTTPStatus.PRECONDITION_FAILED: "It is not any more what `If-Match` names.",
}


class ProblemMiddleware:
    """Makes problems of the errors under `/api/` that never reach the API: addresses, methods and sizes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        response = self._get_response(request)
        status = response.status_code
        is_one = response.get("Content-Type") == PROBLEM_TYPE
        if status < HTTPStatus.BAD_REQUEST or not request.path.startswith("/api/") or is_one:
            return response
        answer = problem(status, _SAID.get(HTTPStatus(status), "It could not be answered."))
        # Its headers stay: which methods it takes, who may keep it, how many calls are left.
        response.content, response["Content-Type"] = answer.content, PROBLEM_TYPE
        return response


def handle(api: NinjaAPI) -> None:
    """Make every error of the API a problem; what is no error of the caller's is logged by Django as it is."""

    def refused(request: HttpRequest, error: HttpError) -> JsonResponse:
        response = problem(error.status_code, error.message)
        if isinstance(error, Throttled | UnavailableError) and error.wait is not None:
            response["Retry-After"] = str(math.ceil(error.wait))
        if error.status_code == HTTPStatus.UNAUTHORIZED:
            response["WWW-Authenticate"] = "Bearer"
        if isinstance(error, InsufficientScopeError):
            response["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
        return response

    def unreadable(request: HttpRequest, error: BadRequest) -> JsonResponse:
        errors: dict[str, list[str]] = {}
        for entry in error.errors:
            # ("body", the parameter, the field …) or ("query", the field).
            place: tuple[Any, ...] = entry["loc"]
            errors.setdefault(".".join(map(str, place[2:] or place[1:])) or "body", []).append(entry["msg"])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not as it should be.", errors)

    def invalid(request: HttpRequest, error: ValidationError) -> JsonResponse:
        errors = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Some values cannot be used.", errors)

    def absent(request: HttpRequest, error: Http404) -> JsonResponse:
        return problem(HTTPStatus.NOT_FOUND, "There is no such thing, or it is not yours to see.")

    def denied(request: HttpRequest, error: PermissionDenied) -> JsonResponse:
        return problem(HTTPStatus.FORBIDDEN, str(error) or "Your login may not do this.")

    def unreachable(request: HttpRequest, error: Exception) -> JsonResponse:
        log.warning("%s could not be answered: %s", request.path, error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The database or the cache cannot be reached; try again.")

    def unkept(request: HttpRequest, error: Exception) -> JsonResponse:
        return problem(HTTPStatus.CONFLICT, "The database does not take these values; somebody may have been faster.")

    handlers: dict[type[Exception], Any] = {
        HttpError: refused,
        BadRequest: unreadable,
        ValidationError: invalid,
        Http404: absent,
        PermissionDenied: denied,
        IntegrityError: unkept,
        DataError: unkept,
        DatabaseError: unreachable,
        redis.RedisError: unreachable,
    }
    for error, handler in handlers.items():
        api.add_exception_handler(error, handler)
