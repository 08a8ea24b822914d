"""ASGI: pages through Django, sockets through Channels."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from django.core.asgi import get_asgi_application

pages = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from django.urls import path, re_path

from widgets.consumers import WidgetConsumer


async def no_such_socket(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Refuse a socket at an address that has none; the router itself would raise, with a traceback in the log."""
    await receive()
    await send({"type": "websocket.close"})


application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": URLRouter(
            # Not Channels' own login: it asks the database for each socket alone, before it is let in.
            [path("ws", CookieMiddleware(WidgetConsumer.as_asgi())), re_path("", no_such_socket)],  # type: ignore[arg-type]  # an ASGI application
        ),
    }
)
