"""Grants of feeds, as an administrator gives them."""

from typing import Final

from django.contrib.auth.models import User

from control.models import FeedGrant

# What the groups have that Tapewatch ships with. A test that flushes the database finds no groups.
VIEWER: Final = (
    *("scanners:*", "top_10_lists", "quote:*", "alerts*", "bars:*", "news:*"),
    *("stocks:*", "options:*", "indices:*", "crypto:*", "forex:*", "futures:*"),
)
OPERATOR: Final = ("status:components", "unknown*")


def let_read(user: User, *patterns: str) -> User:
    """Grant patterns to a user, beside those that he has; returns the user."""
    of_user = FeedGrant.users.through
    grants = FeedGrant.objects.bulk_create(FeedGrant(pattern=pattern) for pattern in patterns)
    of_user.objects.bulk_create(of_user(feedgrant=grant, user=user) for grant in grants)
    return user


def new_user(name: str, *patterns: str, staff: bool = False) -> User:
    """A user of that name, who is made if there is none: a viewer, if staff an operator, too; or what patterns say."""
    user, made = User.objects.get_or_create(username=name, defaults={"is_staff": staff})
    if made:
        let_read(user, *(patterns or (*VIEWER, *(OPERATOR if staff else ()))))
    return user
