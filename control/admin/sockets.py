"""The admin's page of who is connected to `/ws`."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import redis
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.timesince import timesince

from control.connected import Connected, may_see, who_is_connected
from processors.store import default_store
from widgets.visitors.presence import Connection, Process

_MOST: Final = 200
_PROCESSES: Final = ("Process", "Up", "Sockets", "Subscriptions", "Messages/s", "MB/s", "Dropped", "Slowest")
_SOCKETS: Final = ("User", "Address", "Process", "Connected", "Feeds", "Sent", "Waiting", "Dropped", "Behind")


def who_is_connected_page(request: HttpRequest) -> HttpResponse:
    """Who is connected, the most backward first.

    Raises:
        PermissionDenied: The user is no operator who may see it.
    """
    if not may_see(request.user):
        raise PermissionDenied
    user, feed = request.GET.get("user") or None, request.GET.get("feed") or None
    context = {**admin.site.each_context(request), "title": "Who is connected", "found": None}
    with suppress(redis.RedisError):
        found = who_is_connected(default_store().redis, user, feed, _MOST)
        context |= {"found": found, "processes": _processes(found), "sockets": _sockets(found)}
    return TemplateResponse(request, "admin/who_is_connected.html", context)


def _processes(found: Connected) -> dict[str, object]:
    return {"headers": _PROCESSES, "rows": [_process(process) for process in found.processes]}


def _process(process: Process) -> list[str]:
    return [
        process.name,
        _ago(process.since),
        f"{process.sockets:,}",
        f"{process.subscriptions:,}",
        f"{process.deliveries_per_s:,.0f}",
        f"{process.bytes_per_s / 1e6:,.1f}",
        f"{process.dropped:,}",
        _behind(process.behind_ms),
    ]


def _sockets(found: Connected) -> dict[str, object]:
    return {"headers": _SOCKETS, "rows": [_socket(name, connection) for name, connection in found.sockets]}


def _socket(process: str, connection: Connection) -> list[str]:
    feeds = ", ".join(connection.feeds[:3])
    more = connection.subscriptions - 3
    return [
        connection.username or "(not yet authorised)",
        connection.address,
        process,
        _ago(connection.since),
        f"{feeds} and {more:,} more" if more > 0 else feeds,
        f"{connection.sent:,}",
        f"{connection.waiting:,}",
        f"{connection.dropped:,}",
        _behind(connection.behind_ms),
    ]


def _behind(ms: int) -> str:
    return f"{ms / 1_000:,.1f} s" if ms else ""


def _ago(since_ms: int) -> str:
    return timesince(datetime.fromtimestamp(since_ms / 1_000, UTC), depth=1)
