"""The feed's one row, which follows the environment until somebody sets it."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    settings = apps.get_model("control", "FeedSettings")
    if not settings.objects.exists():
        settings.objects.create()


class Migration(migrations.Migration):
    dependencies = [("control", "0003_feed_settings")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
