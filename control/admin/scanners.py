"""The admin of scanners and price levels."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from control.models import PriceLevel, Scanner


@admin.register(Scanner)
class ScannerAdmin(ModelAdmin):  # type: ignore[misc]
    """Scanners: a saved row is a live board within a second."""

    list_display = ("name", "slug", "owner", "order_by", "descending", "limit", "alert_on", "enabled")
    list_editable = ("enabled",)
    list_filter = ("enabled", "alert_on", "owner")
    search_fields = ("slug", "name", "description")
    fieldsets = (
        (None, {"fields": ("name", "slug", "owner", "description", "enabled")}),
        ("Which rows", {"fields": ("where", "order_by", "descending", "limit", "tick_ms")}),
        ("How it is shown", {"fields": ("columns", "position")}),
        ("Alerts", {"fields": ("alert_on", "cooldown_s", "sound", "notify")}),
    )


@admin.register(PriceLevel)
class PriceLevelAdmin(ModelAdmin):  # type: ignore[misc]
    """Price levels of all users; one is followed within a second."""

    list_display = ("symbol", "direction", "price", "user", "note", "enabled")
    list_editable = ("enabled",)
    list_filter = ("enabled", "user")
    search_fields = ("symbol", "note")
