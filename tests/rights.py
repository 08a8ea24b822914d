"""Grants of feeds, roles and permissions, as an administrator gives them."""

from collections.abc import Iterable
from typing import Final

from django.contrib.auth.models import Group, Permission, User

from control.models import FeedGrant
from control.roles import Role

# What the groups have that Tapewatch ships with. A test that flushes the database finds no groups.
VIEWER: Final = (
    *("scanners:*", "top_10_lists", "quote:*", "alerts*", "bars:*", "news:*"),
    *("stocks:*", "options:*", "indices:*", "crypto:*", "forex:*", "futures:*"),
)
OPERATOR: Final = ("status:components", "unknown*")

_TOKENS: Final = ("add_apitoken", "change_apitoken", "delete_apitoken", "view_apitoken")
_SEEN_BY_BOTH: Final = ("view_alert", "view_notificationdelivery", "view_scanner")
# What the roles may do, beside reading feeds; an administrator may do everything.
MAY: Final[dict[Role, frozenset[str]]] = {
    Role.VIEWER: frozenset(_TOKENS),
    Role.TRADER: frozenset(
        (
            *(
                f"{action}_{model}"
                for action in ("add", "change", "delete", "view")
                for model in ("scanner", "pricelevel", "layout", "watchlist", "notificationtarget")
            ),
            *("add_backtest", "delete_backtest", "view_backtest", *_SEEN_BY_BOTH, *_TOKENS),
        )
    ),
    Role.OPERATOR: frozenset(
        (
            *("view_system", "run_listener", "run_workers", "purge_queue", "switch_scanner", "reload_reference"),
            *("clear_cache", "drain_web", "set_log_level", "view_auditentry", "view_sockets", "view_feedsettings"),
            *_SEEN_BY_BOTH,
            *_TOKENS,
        )
    ),
}


def let_read(user: User, *patterns: str) -> User:
    """Grant patterns to a user, beside those that he has; returns the user."""
    of_user = FeedGrant.users.through
    grants = FeedGrant.objects.bulk_create(FeedGrant(pattern=pattern) for pattern in patterns)
    of_user.objects.bulk_create(of_user(feedgrant=grant, user=user) for grant in grants)
    return user


def let_do(user: User, codenames: Iterable[str]) -> User:
    """Give permissions of our app to a user, beside those that he has; returns the user."""
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="control", codename__in=codenames))
    return user


def new_user(name: str, *patterns: str, staff: bool = False) -> User:
    """A user of that name, who is made if there is none: a trader, if staff an operator, too; or what patterns say."""
    user, made = User.objects.get_or_create(username=name, defaults={"is_staff": staff})
    if made:
        let_read(user, *(patterns or (*VIEWER, *(OPERATOR if staff else ()))))
        let_do(user, MAY[Role.TRADER] | (MAY[Role.OPERATOR] if staff else frozenset()))
    return user


def user_in(role: Role | None, name: str = "") -> User:
    """A new user in the group of a role, or in none."""
    user = User.objects.create_user(name or (role.value if role is not None else "nobody"))
    if role is not None:
        user.groups.add(Group.objects.get(name=role))
    return user
