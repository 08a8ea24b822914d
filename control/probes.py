"""What machines ask the web: whether it is alive and ready, and every figure for Prometheus."""

from functools import lru_cache
from math import inf
from threading import Lock
from time import monotonic, time
from typing import Any, Final

import redis
from amqp.exceptions import AMQPError
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from kombu.exceptions import OperationalError

from control.models import ApiToken
from control.models.tokens import Scope
from control.system.metrics import exposition
from control.system.state import read_state
from processors.store import connect, default_store
from project.broker import asking_connection

_VIEW_SYSTEM: Final = "control.view_system"
_METRICS_SCOPES: Final = frozenset({Scope.METRICS, Scope.OPERATE})
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_STALE_S: Final = 5.0
# Probes come from several places; a broker need not be asked for each.
_BROKER_STANDS_S: Final = 1.0


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process answers."""
    return HttpResponse("ok", content_type="text/plain")


@require_GET
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether database, cache and broker can be reached; 503 names those that cannot."""
    state = {"database": _database(), "cache": _cache(), "broker": _broker(settings.CELERY_BROKER_URL).state()}
    return JsonResponse(state, status=200 if all(value == "ok" for value in state.values()) else 503)


@require_GET
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Every figure of the system page for Prometheus: for a token with the scope `metrics` or `operate`, or a login.

    Its user has to have the permission to see the system.
    """
    refused = _refused(request)
    if refused is not None:
        return refused
    try:
        state = read_state(default_store().redis)
    except redis.RedisError:
        return _said("The cache cannot be reached: there are no figures.", 503)
    if state is None or time() - state.at / 1_000 > _STALE_S:
        return _said("The figures are stale: no web process gathers the system's state.", 503)
    return HttpResponse(exposition(state), content_type=_TEXT)


def _refused(request: HttpRequest) -> HttpResponse | None:
    """Why somebody may not have the figures; None where he may."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    user = request.user
    if kind.lower() == "bearer":
        token = ApiToken.find(secret.strip())
        if token is None:
            return _unauthorised("The token is unknown, expired or revoked, or its user is switched off.")
        if _METRICS_SCOPES.isdisjoint(token.scopes):
            return _said("This token may not be used for this: it takes one with the scope metrics.", 403)
        user = token.user
    elif not user.is_authenticated:
        return _unauthorised("Figures are for a token with the scope metrics, or a login.")
    if not user.has_perm(_VIEW_SYSTEM):
        return _said(f"Your role has no permission {_VIEW_SYSTEM}: ask an administrator for it.", 403)
    return None


def _said(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


def _unauthorised(text: str) -> HttpResponse:
    response = _said(text, 401)
    response["WWW-Authenticate"] = "Bearer"
    return response


def _database() -> str:
    try:
        # One that is kept may have been cut off meanwhile.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"


def _cache() -> str:
    try:
        _client(settings.REDIS_URL).ping()
    except redis.RedisError:
        return "unreachable"
    return "ok"


@lru_cache(maxsize=1)
def _client(url: str) -> Any:
    return connect(url, socket_timeout=2, socket_connect_timeout=2)


class _Broker:
    """A broker over one kept connection, asked once a second at most."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._asking = Lock()
        self._kept: Any = None
        self._asked_at = -inf
        self._said = ""

    def state(self) -> str:
        """`ok` or `unreachable`."""
        with self._asking:
            if monotonic() - self._asked_at >= _BROKER_STANDS_S:
                # The kept connection may be one that the broker has closed.
                self._said = "ok" if self._answers() or self._answers() else "unreachable"
                self._asked_at = monotonic()
            return self._said

    def _answers(self) -> bool:
        try:
            if self._kept is None:
                self._kept = asking_connection(self._url)
                self._kept.ensure_connection(max_retries=1, interval_start=0, timeout=2)
            channel = self._kept.channel()
            if self._kept.transport.driver_type == "redis":
                channel.client.ping()
            channel.close()
        except (OperationalError, OSError, AMQPError, redis.RedisError):
            broken, self._kept = self._kept, None
            if broken is not None:
                broken.collect(socket_timeout=1)
            return False
        return True


@lru_cache(maxsize=1)
def _broker(url: str) -> _Broker:
    return _Broker(url)
