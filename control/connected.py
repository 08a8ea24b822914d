"""Who is connected to `/ws`, over all web processes: for the API and the admin."""

from collections import Counter
from typing import NamedTuple

import redis
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User

from widgets.visitors.presence import Connection, Process, processes


class Connected(NamedTuple):
    """Who is connected.

    Attributes:
        total: Open sockets, in all.
        processes: The web processes that are alive.
        feeds: Subscribers by feed or pattern, the most wanted first.
        sockets: Those that were searched for, each after its process's name: the most backward first, then the oldest.
    """

    total: int
    processes: list[Process]
    feeds: dict[str, int]
    sockets: list[tuple[str, Connection]]


def may_see(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether a user is an operator who may see who is connected: staff, with the permission."""
    return isinstance(user, User) and user.is_staff and user.has_perm("control.view_sockets")


def who_is_connected(cache: "redis.Redis", user: str | None, feed: str | None, limit: int) -> Connected:
    """What the web processes have said within the last seconds; each tells of at most 500 sockets.

    Args:
        cache: Where they said it.
        user: Only sockets of the user of this name.
        feed: Only sockets that subscribed to this feed or pattern.
        limit: At most so many sockets.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    alive = processes(cache)
    feeds: Counter[str] = Counter()
    for process in alive:
        feeds.update(process.feeds)
    found = [
        (process.name, connection)
        for process in alive
        for connection in process.connections
        if user in {None, connection.username} and (feed is None or feed in connection.feeds)
    ]
    found.sort(key=lambda entry: (-entry[1].behind_ms, entry[1].since))
    return Connected(sum(process.sockets for process in alive), alive, dict(feeds.most_common()), found[:limit])
