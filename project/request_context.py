"""Which request, or which job, something is done for: it stands in every line that is logged meanwhile.

A request has an id: the one that its proxy or its caller gave it (`X-Request-ID`), else a new one; it goes back in the
response and on to the jobs that the request asks for.
"""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bound_contextvars

from project import tracing
from project.tracing import Kind

log = logging.getLogger(__name__)

HEADER: Final = "X-Request-ID"
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{8,128}")
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def say_whose(logger: Any, name: str, line: Any) -> Any:
    """Tell who asks, for a line that is logged while a request is answered; as far as that is known by then."""
    request = _request.get()
    if request is not None and (user := _user_id(request)) is not None:
        line.setdefault("user", user)
    return line


def _user_id(request: HttpRequest) -> int | None:
    """Who asks; nobody is looked up for it."""
    user = getattr(request, "auth", None) or getattr(request, "_cached_user", None)
    number: int | None = getattr(user, "pk", None)
    return number


class RequestContextMiddleware:
    """Gives each request its id, a span where traces are collected, and API calls a line in the log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        given = request.headers.get(HEADER, "")
        request_id = given if _ID.fullmatch(given) else uuid4().hex
        standing = _request.set(request)
        try:
            with bound_contextvars(request_id=request_id):
                response = self._traced(request, request_id) if tracing.enabled() else self._logged(request)
        finally:
            _request.reset(standing)
        response[HEADER] = request_id
        return response

    def _logged(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/api/"):
            return self._get_response(request)
        began = perf_counter()
        response = self._get_response(request)
        # What changes something is of interest to whoever runs the system; what reads comes many times a second.
        log.log(
            logging.DEBUG if request.method in _READS else logging.INFO,
            "%s %s %d",
            request.method,
            request.path,
            response.status_code,
            extra={"status": response.status_code, "ms": round((perf_counter() - began) * 1_000, 1)},
        )
        return response

    def _traced(self, request: HttpRequest, request_id: str) -> HttpResponse:
        span = tracing.begin(
            "web",
            request.method or "?",
            Kind.SERVER,
            request.headers.get(tracing.HEADER, ""),
            attributes={
                "http.request.method": request.method or "",
                "url.path": request.path,
                "tapewatch.request_id": request_id,
            },
        )
        try:
            with bound_contextvars(traceparent=span.traceparent):
                response = self._logged(request)
        except BaseException as error:
            span.end(problem=type(error).__name__)
            raise
        if (match := request.resolver_match) is not None:
            span.rename(f"{request.method} /{match.route}")
            span.note({"http.route": match.route})
        span.note({"http.response.status_code": response.status_code})
        if (user := _user_id(request)) is not None:
            span.note({"enduser.id": str(user)})
        failed = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        span.end(problem=HTTPStatus(response.status_code).phrase if failed else "")
        return response
