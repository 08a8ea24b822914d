"""Who may read which feeds. Until now everybody read the market and staff the system; now nobody reads what was not
granted. Two groups with the usual grants keep those reading who are there already."""

from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import control.models.rights

_MARKETS = ("stocks", "options", "indices", "crypto", "forex", "futures")
_VIEWER = (
    *("scanners:*", "top_10_lists", "quote:*", "alerts*", "bars:*", "news:*"),
    *(f"{market}:*" for market in _MARKETS),
)
_OPERATOR = ("status:components", "unknown*")
_VIEW_SOCKETS = ("view_sockets", "Can see who is connected to the sockets")


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    group, grant = apps.get_model("auth", "Group"), apps.get_model("control", "FeedGrant")
    viewer, _ = group.objects.get_or_create(name="viewer")
    operator, _ = group.objects.get_or_create(name="operator")
    users = apps.get_model("auth", "User").objects.filter(is_active=True)
    for to, patterns, note, readers in (
        (viewer, _VIEWER, "The market, for whoever is in the group viewer.", users),
        (
            operator,
            _OPERATOR,
            "The health of the system, for whoever is in the group operator.",
            users.filter(is_staff=True),
        ),
    ):
        # A group of this name that was there before may let its members do more than read.
        of_another = to.permissions.exists()
        for pattern in patterns:
            row = grant.objects.create(pattern=pattern, note=note)
            row.groups.add(to)
            if of_another:
                row.users.add(*readers)
        if not of_another:
            to.user_set.add(*readers)
    operator.permissions.add(_view_sockets(apps))


def _view_sockets(apps: Apps) -> models.Model:
    # Django makes permissions when all migrations are done; it takes this one for the one it would make.
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="control", model="feedgrant"
    )
    codename, name = _VIEW_SOCKETS
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename=codename, defaults={"name": name}
    )
    return permission


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # A group that was given other permissions has come to mean more than ours.
    groups = apps.get_model("auth", "Group").objects.filter(name__in=("viewer", "operator"))
    groups.exclude(
        pk__in=groups.exclude(permissions__codename=_VIEW_SOCKETS[0]).filter(permissions__isnull=False)
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("control", "0008_more_shipped_scanners"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="FeedGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "pattern",
                    models.CharField(
                        help_text="A feed such as scanners:top_gainers, or the beginning of many and *: scanners:*, "
                        "stocks:quotes:*. A pattern that somebody subscribes to has to be covered by one grant alone.",
                        max_length=100,
                        validators=[control.models.rights.check_pattern],
                    ),
                ),
                (
                    "note",
                    models.CharField(blank=True, help_text="Why, for whoever looks at it later.", max_length=200),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Everyone in these. viewer has the market's feeds, operator the health of the "
                        "system.",
                        related_name="feed_grants",
                        to="auth.group",
                    ),
                ),
                (
                    "users",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Single users; groups are easier to keep.",
                        related_name="feed_grants",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["pattern", "pk"],
                "permissions": [
                    ("read_every_feed", "Can read every feed, without a grant"),
                    ("view_sockets", "Can see who is connected to the sockets"),
                ],
            },
        ),
        migrations.RunPython(add, remove),
    ]
