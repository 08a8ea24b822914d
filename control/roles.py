"""Roles: groups with permissions, shipped by a migration; whoever administrates may change what they let do."""

from collections.abc import Collection
from enum import StrEnum
from typing import Any, Final

from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import PermissionDenied

# Of the permission to see and change what belongs to others: their tokens, layouts, watchlists, targets.
MANAGE_OTHERS: Final = "control.manage_others"


class Role(StrEnum):
    """The groups that Tapewatch ships with. A person may be in several."""

    VIEWER = "viewer"
    TRADER = "trader"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


IN_WORDS: Final = {
    Role.VIEWER: "reads the market: boards, quotes, alerts, news.",
    Role.TRADER: "reads the market; has own scanners, price levels, layouts, watchlists and notification targets.",
    Role.OPERATOR: "sees the system and runs it: listener, workers, queues; sees who is connected and the audit log.",
    Role.ADMINISTRATOR: "everything, the accounts of others included.",
}
# Whose work is done in the admin.
STAFF: Final = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})


def check(user: User | AnonymousUser, permission: str) -> None:
    """Refuse somebody without a permission.

    Args:
        user: Who asks.
        permission: Such as `control.add_scanner`.

    Raises:
        PermissionDenied: He has it not; which one it is, and who can give it, is said.
    """
    if not user.has_perm(permission):
        raise PermissionDenied(f"Your role has no permission {permission}: ask an administrator for it.")


def manages_others(user: User | AnonymousUser) -> bool:
    """Whether somebody may see and change what belongs to other people."""
    return user.has_perm(MANAGE_OTHERS)


def assign(user: User, roles: Collection[Role]) -> None:
    """Give somebody these roles, and of ours no other; groups that we did not ship stay as they are."""
    ours = {group.name: group for group in Group.objects.filter(name__in=list(Role))}
    unwanted = [group for name, group in ours.items() if name not in roles]
    user.groups.remove(*unwanted)
    user.groups.add(*(group for name, group in ours.items() if name in roles))
    is_staff = user.is_superuser or not STAFF.isdisjoint(roles)
    if user.is_staff != is_staff:
        user.is_staff = is_staff
        user.save(update_fields=["is_staff"])


def let_into_the_admin(
    instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **kwargs: Any
) -> None:  # a receiver of m2m_changed of a user's groups
    """Make staff of whoever becomes an operator or an administrator: their pages are the admin's."""
    if action != "post_add" or not pk_set:
        return
    names = {instance.name} if reverse else set(Group.objects.filter(pk__in=pk_set).values_list("name", flat=True))
    if STAFF.isdisjoint(names):
        return
    User.objects.filter(pk__in=pk_set if reverse else [instance.pk], is_staff=False).update(is_staff=True)
    if not reverse:
        instance.is_staff = True


def let_administrators_do_everything(**kwargs: Any) -> None:  # a receiver of post_migrate
    """Give the group of administrators every permission, those of new models too.

    A group of that name that is not ours, as before migration 0011, has not the one that this gave ours.
    """
    group = Group.objects.filter(name=Role.ADMINISTRATOR, permissions__codename="manage_others").first()
    if group is not None:
        group.permissions.set(Permission.objects.all())
