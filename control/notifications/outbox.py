"""Which alerts go to which targets: decided when an alert is stored, in the same transaction."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from django.utils import timezone

from control.feed_patterns import allows
from control.models import Alert, FeedGrant, NotificationDelivery, NotificationTarget, PriceLevel, Scanner

_LEVEL: Final = "level:"


def take(alerts: Iterable[Alert]) -> None:
    """Make a delivery for each target that an alert's rule names; one that is there already stays as it is.

    A scanner's targets are its owner's, or for a scanner of everyone the common ones; a price level's are its user's.
    Who may not read an alert is not sent it either.

    Raises:
        django.db.DatabaseError: They cannot be written.
    """
    by_rule: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_rule[alert.rule].append(alert)
    wanted = {rule: wish for rule, wish in _wishes(by_rule).items() if wish[1]}
    if not wanted:
        return
    owners = {owner for owner, _ in wanted.values()}
    patterns = FeedGrant.objects.patterns_of([owner for owner in owners if owner is not None])
    targets: dict[tuple[int | None, str], int] = {}
    # SQL's NULL is in no list.
    for rows in (
        NotificationTarget.reached().filter(owner__in=owners - {None}),
        NotificationTarget.reached().filter(owner__isnull=True),
    ):
        targets |= {(owner, name): pk for pk, owner, name in rows.values_list("pk", "owner", "name")}
    now = timezone.now()
    NotificationDelivery.objects.bulk_create(
        (
            NotificationDelivery(target_id=targets[owner, name], alert=alert, next_at=now)
            for rule, (owner, names) in wanted.items()
            if owner is None or allows(patterns[owner], "alerts") or allows(patterns[owner], f"alerts:{rule}")
            for name in dict.fromkeys(names)
            if (owner, name) in targets
            for alert in by_rule[rule]
        ),
        ignore_conflicts=True,
    )


def _wishes(rules: Iterable[str]) -> dict[str, tuple[int | None, list[str]]]:
    """Whose targets each rule names, and which."""
    rules = list(rules)
    levels = [int(rule.removeprefix(_LEVEL)) for rule in rules if rule.startswith(_LEVEL)]
    found: dict[str, tuple[int | None, list[str]]] = {
        slug: (owner, notify)
        for slug, owner, notify in Scanner.objects.filter(slug__in=rules).values_list("slug", "owner", "notify")
    }
    for pk, user, notify in PriceLevel.objects.filter(pk__in=levels).values_list("pk", "user", "notify"):
        found[f"{_LEVEL}{pk}"] = (user, notify)
    return found
