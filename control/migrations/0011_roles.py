"""Roles: the groups viewer, trader, operator and administrator, with their permissions. Who is there already goes on
doing what he did: everyone active becomes a trader."""

from collections.abc import Iterable

from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_OWN_THINGS = ("scanner", "pricelevel", "layout", "watchlist", "notificationtarget")
_TOKENS = tuple((f"{action}_apitoken", "apitoken") for action in ("add", "change", "delete", "view"))
_TRADER = (
    *((f"{action}_{model}", model) for model in _OWN_THINGS for action in ("add", "change", "delete", "view")),
    *((f"{action}_backtest", "backtest") for action in ("add", "delete", "view")),
    ("view_alert", "alert"),
    ("view_notificationdelivery", "notificationdelivery"),
    *_TOKENS,
)
_OF_THE_SYSTEM = {
    "view_system": "Can see the health of the system",
    "run_listener": "Can start, stop, restart and configure the listener",
    "run_workers": "Can scale and restart workers",
    "purge_queue": "Can purge queues",
    "switch_scanner": "Can switch scanners on and off",
    "reload_reference": "Can reload reference data",
    "clear_cache": "Can clear parts of the cache",
    "drain_web": "Can drain web processes",
    "set_log_level": "Can set log levels",
}
_OPERATOR = (
    *((codename, "auditentry") for codename in ("view_auditentry", *_OF_THE_SYSTEM)),
    ("view_sockets", "feedgrant"),
    ("view_feedsettings", "feedsettings"),
    ("view_scanner", "scanner"),
    ("view_alert", "alert"),
    ("view_notificationdelivery", "notificationdelivery"),
    *_TOKENS,
)
_NAMES = {
    **_OF_THE_SYSTEM,
    "view_sockets": "Can see who is connected to the sockets",
    "manage_others": "Can see and change what belongs to other people",
}
_VERBOSE = {
    "apitoken": "API token",
    "auditentry": "audit entry",
    "feedsettings": "feed settings",
    "notificationdelivery": "notification delivery",
    "notificationtarget": "notification target",
    "pricelevel": "price level",
}


# Groups that were there before under our names are others', and may mean anything.
_OURS = ("trader", "administrator")
_SET_ASIDE = " (before roles)"


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    group, user = apps.get_model("auth", "Group"), apps.get_model("auth", "User")
    for name in _OURS:
        group.objects.filter(name=name).update(name=f"{name}{_SET_ASIDE}")
    viewer, trader, operator, administrator = (
        group.objects.get_or_create(name=name)[0] for name in ("viewer", "trader", "operator", "administrator")
    )
    viewer.permissions.add(*_permissions(apps, _TOKENS))
    trader.permissions.add(*_permissions(apps, _TRADER))
    operator.permissions.add(*_permissions(apps, _OPERATOR))
    # Every other permission follows when all migrations are done, and with each migration from then on.
    administrator.permissions.add(*_permissions(apps, [("manage_others", "feedgrant")]))
    for grant in apps.get_model("control", "FeedGrant").objects.filter(groups=viewer):
        grant.groups.add(trader)
    # What they may read is granted apart: who was given single feeds alone is given no others.
    readers = user.objects.filter(is_active=True)
    trader.user_set.add(*readers.filter(groups=viewer))
    narrow = readers.exclude(groups=viewer)
    for one in narrow:
        one.user_permissions.add(*_permissions(apps, _TRADER))


def _permissions(apps: Apps, wanted: Iterable[tuple[str, str]]) -> list[models.Model]:
    # Django makes permissions when all migrations are done; it takes these for the ones it would make.
    content_type, permission = apps.get_model("contenttypes", "ContentType"), apps.get_model("auth", "Permission")
    found = []
    for codename, model in wanted:
        of_model, _ = content_type.objects.get_or_create(app_label="control", model=model)
        name = _NAMES.get(codename, f"Can {codename.split('_')[0]} {_VERBOSE.get(model, model)}")
        row, _ = permission.objects.get_or_create(content_type=of_model, codename=codename, defaults={"name": name})
        found.append(row)
    return found


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    groups = apps.get_model("auth", "Group").objects
    groups.filter(name__in=_OURS).delete()
    for name in _OURS:
        groups.filter(name=f"{name}{_SET_ASIDE}").update(name=name)
    for name, permissions in (("viewer", _TOKENS), ("operator", set(_OPERATOR) - {("view_sockets", "feedgrant")})):
        for one in groups.filter(name=name):
            one.permissions.remove(*_permissions(apps, permissions))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("control", "0010_audit_notifications_workspace"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="feedgrant",
            options={
                "ordering": ["pattern", "pk"],
                "permissions": [
                    ("read_every_feed", "Can read every feed, without a grant"),
                    ("view_sockets", "Can see who is connected to the sockets"),
                    ("manage_others", "Can see and change what belongs to other people"),
                ],
            },
        ),
        migrations.AlterField(
            model_name="feedgrant",
            name="groups",
            field=models.ManyToManyField(
                blank=True,
                help_text="Everyone in these. viewer and trader have the market's feeds, operator the health of the "
                "system.",
                related_name="feed_grants",
                to="auth.group",
            ),
        ),
        migrations.RunPython(add, remove),
    ]
