"""The boards that Tapewatch ships with. They are rows: anyone may change their thresholds."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_BOARDS = [
    {
        "slug": "top_gainers",
        "name": "Top gainers",
        "description": "Up most against the previous day's close, pre- and post-market included.",
        "where": "pct_change > 0 AND accumulated_volume > 0",
        "order_by": "pct_change",
        "columns": ["price", "pct_change", "change", "accumulated_volume", "day_high"],
        "position": 10,
    },
    {
        "slug": "top_gappers",
        "name": "Top gappers",
        "description": "Opened, or before the open trade, highest above the previous day's close.",
        "where": "gap_pct > 0 AND accumulated_volume > 0",
        "order_by": "gap_pct",
        "columns": ["price", "gap_pct", "pct_change", "accumulated_volume", "prev_day_close"],
        "position": 20,
    },
    {
        "slug": "top_volume",
        "name": "Top volume",
        "description": "Most shares traded today.",
        "where": "accumulated_volume > 0",
        "order_by": "accumulated_volume",
        "columns": ["price", "accumulated_volume", "pct_change", "spread_pct", "day_high"],
        "position": 30,
    },
]


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    scanner = apps.get_model("control", "Scanner")
    for board in _BOARDS:
        scanner.objects.get_or_create(slug=board["slug"], defaults={**board, "descending": True, "limit": 50})


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    scanner = apps.get_model("control", "Scanner")
    scanner.objects.filter(slug__in=[board["slug"] for board in _BOARDS], owner__isnull=True).delete()


class Migration(migrations.Migration):
    dependencies = [("control", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
