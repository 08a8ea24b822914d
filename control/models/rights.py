"""Who may read which feeds: without a grant, nobody anything but the market's clock."""

from collections.abc import Collection, Iterable
from functools import cache
from typing import TypeVar

from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.expressions import RawSQL

from control.feed_patterns import EVERY_FEED, allows, problem_of

_READ_EVERY_FEED = "read_every_feed"
_T = TypeVar("_T", int, str)


def check_pattern(pattern: str) -> None:
    """Refuse what names no feeds.

    Raises:
        ValidationError: With what is wrong and what to write.
    """
    if problem := problem_of(pattern):
        raise ValidationError(problem)


class FeedGrantQuerySet(models.QuerySet["FeedGrant"]):
    """What users may read."""

    def patterns_of(self, users: Collection[int]) -> dict[int, frozenset[str]]:
        """The patterns that each of some users may read, his own and those of his groups; four queries.

        Superusers, and whoever has the permission to read every feed, get a pattern for each family.

        Args:
            users: Their numbers; whether they are switched off is not looked at.
        """
        if not users:
            return {}
        among = listed(users)
        # Not joined: of thousands of users in a few groups, each with all its grants, the rows would be legion.
        of_group = _gathered(self.filter(groups__isnull=False).values_list("groups", "pattern"))
        of_user = _gathered(self.filter(users__in=among).values_list("users", "pattern"))
        groups = _gathered(User.groups.through.objects.filter(user__in=among).values_list("user", "group"))
        permission = Permission.objects.filter(codename=_READ_EVERY_FEED, content_type__app_label="control")
        permitted = User.user_permissions.through.objects.filter(permission__in=permission)
        of_permitted = User.groups.through.objects.filter(group__permissions__in=permission)
        # Few in all, so that nobody has to be named.
        everything = User.objects.filter(
            models.Q(is_superuser=True)
            | models.Q(pk__in=permitted.values("user"))
            | models.Q(pk__in=of_permitted.values("user"))
        )
        for user in everything.values_list("pk", flat=True):
            of_user.setdefault(user, set()).update(EVERY_FEED)

        @cache
        def of_groups(of_one: frozenset[int]) -> frozenset[str]:
            # Most users are in the same groups, and have nothing of their own.
            return frozenset(pattern for group in of_one for pattern in of_group.get(group, ()))

        found = {user: of_groups(frozenset(groups.get(user, ()))) for user in users}
        return found | {user: found[user].union(own) for user, own in of_user.items() if user in found}


def listed(values: Collection[int | str]) -> RawSQL:
    """Many values for `__in`: as they are, since Django's care for each costs more than all else of such a query."""
    if all(isinstance(value, int) for value in values):
        return RawSQL(",".join(map(str, values)), ())  # noqa: S611 - numbers alone
    return RawSQL(",".join(["%s"] * len(values)), tuple(values))  # noqa: S611 - parameters


def _gathered(rows: Iterable[tuple[int, _T]]) -> dict[int, set[_T]]:
    gathered: dict[int, set[_T]] = {}
    for key, pattern in rows:
        gathered.setdefault(key, set()).add(pattern)
    return gathered


class FeedGrant(models.Model):
    """Feeds, named by a pattern, that some users and groups may read. A change reaches live sockets within a second."""

    pattern = models.CharField(
        max_length=100,
        validators=[check_pattern],
        help_text="A feed such as scanners:top_gainers, or the beginning of many and *: scanners:*, stocks:quotes:*. "
        "A pattern that somebody subscribes to has to be covered by one grant alone.",
    )
    users = models.ManyToManyField(
        User, blank=True, related_name="feed_grants", help_text="Single users; groups are easier to keep."
    )
    groups = models.ManyToManyField(
        Group,
        blank=True,
        related_name="feed_grants",
        help_text="Everyone in these. viewer and trader have the market's feeds, operator the health of the system.",
    )
    note = models.CharField(max_length=200, blank=True, help_text="Why, for whoever looks at it later.")

    objects = FeedGrantQuerySet.as_manager()

    class Meta:
        ordering = ["pattern", "pk"]
        permissions = [
            (_READ_EVERY_FEED, "Can read every feed, without a grant"),
            ("view_sockets", "Can see who is connected to the sockets"),
            ("manage_others", "Can see and change what belongs to other people"),
        ]

    def __str__(self) -> str:
        return self.pattern


def may_read(user: User, feed: str) -> bool:
    """Whether a user may read a feed, a cache key, or everything that a pattern matches."""
    return user.is_active and allows(FeedGrant.objects.patterns_of([user.pk])[user.pk], feed)
