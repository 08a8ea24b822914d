"""Who may read which feeds: without a grant, nobody anything but the market's clock."""

from collections.abc import Collection, Iterable

from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import models

from control.feed_patterns import EVERY_FEED, allows, problem_of

_READ_EVERY_FEED = "read_every_feed"


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
        # Not joined: of thousands of users in a few groups, each with all its grants, the rows would be legion.
        of_group = _gathered(self.filter(groups__isnull=False).values_list("groups", "pattern"))
        of_user = _gathered(self.filter(users__in=users).values_list("users", "pattern"))
        memberships = User.groups.through.objects.filter(user__in=users).values_list("user", "group")
        for user, group in memberships:
            of_user.setdefault(user, set()).update(of_group.get(group, ()))
        permission = Permission.objects.filter(codename=_READ_EVERY_FEED, content_type__app_label="control")
        everything = User.objects.filter(
            models.Q(is_superuser=True)
            | models.Q(user_permissions__in=permission)
            | models.Q(groups__permissions__in=permission),
            pk__in=users,
        )
        for user in everything.values_list("pk", flat=True):
            of_user.setdefault(user, set()).update(EVERY_FEED)
        return {user: frozenset(of_user.get(user, ())) for user in users}


def _gathered(rows: Iterable[tuple[int, str]]) -> dict[int, set[str]]:
    gathered: dict[int, set[str]] = {}
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
        help_text="Everyone in these. viewer has the market's feeds, operator the health of the system.",
    )
    note = models.CharField(max_length=200, blank=True, help_text="Why, for whoever looks at it later.")

    objects = FeedGrantQuerySet.as_manager()

    class Meta:
        ordering = ["pattern", "pk"]
        permissions = [
            (_READ_EVERY_FEED, "Can read every feed, without a grant"),
            ("view_sockets", "Can see who is connected to the sockets"),
        ]

    def __str__(self) -> str:
        return self.pattern


def may_read(user: User, feed: str) -> bool:
    """Whether a user may read a feed, a cache key, or everything that a pattern matches."""
    return user.is_active and allows(FeedGrant.objects.patterns_of([user.pk])[user.pk], feed)
