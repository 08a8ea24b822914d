"""Roles: what each may do, who becomes staff, and what the migration gives those who were there before."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied

from control.models.rights import may_read
from control.roles import Role, assign, check, manages_others
from tests.rights import MAY, let_read, user_in

pytestmark = pytest.mark.django_db


def _ours(user: User) -> set[str]:
    return {name.removeprefix("control.") for name in user.get_all_permissions() if name.startswith("control.")}


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_what_it_is_for_and_no_more(role: Role) -> None:
    user = user_in(role)
    assert _ours(user) == MAY[role]
    # Nothing of other apps: neither accounts nor sessions.
    assert all(name.startswith("control.") for name in user.get_all_permissions())
    assert user.is_staff == (role == Role.OPERATOR)
    assert not manages_others(user)
    assert may_read(user, "scanners:top_gainers") == (role != Role.OPERATOR)
    assert may_read(user, "status:components") == (role == Role.OPERATOR)


def test_an_administrator_may_do_everything() -> None:
    user = user_in(Role.ADMINISTRATOR)
    every = {f"{app}.{name}" for app, name in Permission.objects.values_list("content_type__app_label", "codename")}
    assert user.get_all_permissions() == every
    assert user.is_staff
    assert not user.is_superuser
    assert manages_others(user)
    assert may_read(user, "scanners:top_gainers")
    assert may_read(user, "status:components")


def test_nobody_in_particular_may_do_nothing() -> None:
    user = user_in(None)
    assert not user.get_all_permissions()
    with pytest.raises(PermissionDenied, match=r"no permission control\.add_scanner"):
        check(user, "control.add_scanner")
    check(user_in(Role.TRADER), "control.add_scanner")


def test_who_is_switched_off_may_do_nothing() -> None:
    user = user_in(Role.TRADER)
    user.is_active = False
    user.save()
    with pytest.raises(PermissionDenied):
        check(user, "control.add_scanner")


def test_joining_a_group_from_either_side_lets_into_the_admin() -> None:
    ann, bob = User.objects.create_user("ann"), User.objects.create_user("bob")
    Group.objects.get(name=Role.OPERATOR).user_set.add(ann, bob)
    assert User.objects.filter(is_staff=True).count() == 2
    assert user_in(Role.ADMINISTRATOR).is_staff
    assert not user_in(Role.TRADER).is_staff


def test_assigned_roles_replace_those_of_ours_and_leave_other_groups() -> None:
    desk, user = Group.objects.create(name="desk"), User.objects.create_user("ann")
    user.groups.add(desk)
    for roles, staff in (({Role.OPERATOR, Role.VIEWER}, True), ({Role.TRADER}, False), (set(), False)):
        assign(user, roles)
        user.refresh_from_db()
        assert set(user.groups.values_list("name", flat=True)) == {"desk", *roles}
        assert user.is_staff == staff


def test_the_migration_keeps_those_doing_who_were_there_before() -> None:
    migration = import_module("control.migrations.0011_roles")
    migration.remove(apps, None)
    assert set(Group.objects.values_list("name", flat=True)) == {"viewer", "operator"}
    reader, narrow, off = (User.objects.create_user(name) for name in ("reader", "narrow", "off"))
    reader.groups.add(Group.objects.get(name="viewer"))
    let_read(narrow, "scanners:top_*")
    User.objects.filter(username="off").update(is_active=False)
    # A group of one of our names that was there before has its own meaning, and comes to no power.
    Group.objects.create(name="administrator").user_set.add(off)
    migration.add(apps, None)
    assert off.groups.get().name == "administrator (before roles)"
    assert not Group.objects.get(name="administrator").user_set.exists()
    assert set(reader.groups.values_list("name", flat=True)) == {"viewer", "trader"}
    # Who was given single boards may do as much as before, and reads no more than before.
    assert _ours(User.objects.get(username="narrow")) == MAY[Role.TRADER]
    assert may_read(narrow, "scanners:top_gainers")
    assert not may_read(narrow, "scanners:halts")
    assert not off.user_permissions.exists()
    migration.remove(apps, None)
    assert off.groups.get().name == "administrator"
