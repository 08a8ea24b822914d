"""The admin's sidebar and its first page: what somebody may see and do, and what is wrong with the system."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import redis
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from control.connected import may_see
from control.models import (
    Alert,
    ApiToken,
    AuditEntry,
    Backtest,
    FeedGrant,
    FeedSettings,
    Layout,
    NotificationDelivery,
    NotificationTarget,
    PriceLevel,
    Scanner,
    Watchlist,
)
from control.system.state import SYSTEM_STATE, SystemProblem
from processors.store import default_store


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the admin.

    Attributes:
        title: What it is called.
        icon: A name of Material Symbols.
        says: What one does there.
        address: Its address; None where this user may not see it.
    """

    title: str
    icon: str
    says: str
    address: Callable[[HttpRequest], str | None]


def _of(model: type[Model], query: str = "") -> Callable[[HttpRequest], str | None]:
    """The list of a model, for those who may see it."""

    def address(request: HttpRequest) -> str | None:
        if not admin.site.is_registered(model) or not admin.site.get_model_admin(model).has_view_permission(request):
            return None
        return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + query

    return address


def _feed_settings(request: HttpRequest) -> str | None:
    """The one row of the feed's settings, without the list of one before it."""
    if _of(FeedSettings)(request) is None:
        return None
    row = FeedSettings.objects.order_by("pk").values_list("pk", flat=True).first()
    return reverse("admin:control_feedsettings_change", args=(row,)) if row is not None else None


def _system(request: HttpRequest) -> str | None:
    return reverse("system") if request.user.has_perm("control.view_system") else None


def _connected(request: HttpRequest) -> str | None:
    return reverse("who_is_connected") if may_see(request.user) else None


GROUPS: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    (
        "System",
        (
            Entry("System", "monitor_heart", "Every component live, what is wrong, and the controls.", _system),
            Entry("Who is connected", "lan", "Sockets, what they follow, and who is behind.", _connected),
            Entry("Feed settings", "cell_tower", "Where the market comes from, and what of it.", _feed_settings),
            Entry("Audit log", "history", "Who had what done, and what came of it.", _of(AuditEntry)),
        ),
    ),
    (
        "Market",
        (
            Entry("Scanners", "radar", "Boards as data: which rows, in which order.", _of(Scanner)),
            Entry("Alert rules", "notification_add", "The scanners that give alerts.", _of(Scanner, "?alerts=any")),
            Entry("Price levels", "show_chart", "Prices at which somebody wants to hear.", _of(PriceLevel)),
            Entry("Alert history", "notifications", "What was given, to be searched and exported.", _of(Alert)),
            Entry("Backtests", "science", "Recordings played through scanners.", _of(Backtest)),
        ),
    ),
    (
        "Notifications",
        (
            Entry("Targets", "send", "Mail, chats and webhooks that alerts go to.", _of(NotificationTarget)),
            Entry("Deliveries", "outbox", "What was sent, and what did not arrive.", _of(NotificationDelivery)),
        ),
    ),
    (
        "Workspace",
        (
            Entry("Layouts", "dashboard", "How people arrange their pages.", _of(Layout)),
            Entry("Watchlists", "list_alt", "Symbols that people keep an eye on.", _of(Watchlist)),
        ),
    ),
    (
        "People",
        (
            Entry("Users", "person", "Accounts and their roles.", _of(User)),
            Entry("Groups", "group", "Roles: what their members may do.", _of(Group)),
            Entry("Feed grants", "key", "Who may read which feeds.", _of(FeedGrant)),
            Entry("API tokens", "vpn_key", "Programs that act as people.", _of(ApiToken)),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar's groups, as unfold wants them: what the user may see, and nothing else."""
    return [
        {"title": title, "separator": False, "items": [_item(request, entry, link) for entry, link in shown]}
        for title, shown in _permitted(request)
    ]


def first_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What `/admin/` shows: what is wrong, for those who may know, and the way to everything else."""
    may_know = request.user.has_perm("control.view_system")
    return {
        **context,
        "title": "Administration",
        "groups": _permitted(request),
        "may_know": may_know,
        "system": _standing() if may_know else None,
    }


class _Standing(msgspec.Struct, frozen=True):
    """Of the system's state, what the first page tells."""

    problems: list[SystemProblem]


def _standing() -> _Standing | None:
    """What is wrong with the system; None where nobody knows."""
    try:
        said: Any = default_store().redis.get(SYSTEM_STATE)
    except redis.RedisError:
        return None
    return None if said is None else msgspec.json.decode(said, type=_Standing)


def _permitted(request: HttpRequest) -> list[tuple[str, list[tuple[Entry, str]]]]:
    found = []
    for title, entries in GROUPS:
        shown = [(entry, link) for entry in entries if (link := entry.address(request)) is not None]
        if shown:
            found.append((title, shown))
    return found


def _item(request: HttpRequest, entry: Entry, link: str) -> dict[str, Any]:
    path, _, query = link.partition("?")
    # The alert rules are the scanners' list, filtered: one of the two is where one is.
    filtered = request.GET.get("alerts") == "any" and request.path == path
    here = request.path == path or (request.path.startswith(path) and not query)
    if entry.title == "Feed settings":
        here = request.path.startswith(reverse("admin:control_feedsettings_changelist"))
    active = here and (filtered == bool(query) if request.path == path else True)
    return {"title": entry.title, "icon": entry.icon, "link": link, "active": active}
