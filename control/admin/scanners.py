"""The admin of scanners and their alert rules: a form that the editor in `widgets/frontend/src/editor` makes live."""

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from control.admin.noting import note
from control.models import NotificationTarget, Scanner
from control.models.scanners import MOST_COLUMNS, MOST_TARGETS
from control.roles import manages_others
from processors import fields

_ONE_LINE: Final = {
    "rows": 1,
    "class": "tw-code",
    "spellcheck": "false",
    "autocapitalize": "off",
    "autocomplete": "off",
}
_SHOWN_OF_A_TEXT: Final = 60


class ScannerForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    """A scanner; without scripts, the texts are plain and the lists are JSON."""

    class Meta:
        model = Scanner
        fields = (
            *("name", "slug", "owner", "description", "enabled", "where", "order_by", "descending", "limit"),
            *("tick_ms", "columns", "position", "alert_on", "cooldown_s", "sound", "notify"),
        )
        widgets = {
            "where": UnfoldAdminTextareaWidget({**_ONE_LINE, "rows": 3}),
            "order_by": UnfoldAdminTextareaWidget(_ONE_LINE),
            "description": UnfoldAdminTextareaWidget({"rows": 2}),
            "columns": UnfoldAdminTextareaWidget({**_ONE_LINE, "rows": 2}),
            "notify": UnfoldAdminTextareaWidget({**_ONE_LINE, "rows": 2}),
        }


class GivesAlerts(admin.SimpleListFilter):
    """Scanners that are alert rules, too, and which of them."""

    title = "alerts"
    parameter_name = "alerts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Any alert, none, and each kind."""
        kinds = [(value, label) for value, label in Scanner.AlertOn.choices if value]
        return [("any", "Gives alerts"), ("none", "Gives none"), *kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Scanner]) -> QuerySet[Scanner]:
        """Those of the chosen kind."""
        match self.value():
            case None:
                return queryset
            case "any":
                return queryset.exclude(alert_on="")
            case "none":
                return queryset.filter(alert_on="")
            case kind:
                return queryset.filter(alert_on=kind)


class WhoseFilter(admin.SimpleListFilter):
    """Shipped scanners, and those of people."""

    title = "owner"
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Whose there are."""
        return [("everyone", "For everyone"), ("mine", "Mine"), ("people", "Of people")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Scanner]) -> QuerySet[Scanner]:
        """Those of the chosen owners."""
        chosen = {
            "everyone": Q(owner__isnull=True),
            "mine": Q(owner_id=request.user.pk),
            "people": Q(owner__isnull=False),
        }
        return queryset.filter(chosen.get(self.value() or "", Q()))


@admin.register(Scanner)
class ScannerAdmin(ModelAdmin):  # type: ignore[misc]
    """Scanners: a saved row is a live board within a second."""

    form = ScannerForm
    change_form_template = "admin/scanner_form.html"
    warn_unsaved_form = True
    save_as = True
    list_display = ("name", "slug", "belongs_to", "condition", "order", "limit", "alerts", "enabled")
    list_editable = ("enabled",)
    list_filter = ("enabled", GivesAlerts, WhoseFilter)
    list_select_related = ("owner",)
    search_fields = ("slug", "name", "description", "=owner__username")
    search_help_text = "A name, a slug, words of the description, or a user"
    autocomplete_fields = ("owner",)
    fieldsets = (
        (None, {"fields": (("name", "slug"), ("owner", "enabled"), "description")}),
        ("Which rows", {"fields": ("where", "order_by", ("descending", "limit"))}),
        ("How it is shown", {"fields": ("columns", "position", "tick_ms")}),
        ("Alerts", {"fields": ("alert_on", "cooldown_s", "sound", "notify")}),
    )

    @admin.display(description="owner", ordering="owner__username")
    def belongs_to(self, scanner: Scanner) -> str:
        """Whose it is."""
        return str(scanner.owner or "everyone")

    @admin.display(description="where")
    def condition(self, scanner: Scanner) -> str:
        """The beginning of its condition."""
        return _beginning(scanner.where) or "every row"

    @admin.display(description="order")
    def order(self, scanner: Scanner) -> str:
        """What ranks its rows."""
        return f"{_beginning(scanner.order_by)}{' ↓' if scanner.descending else ' ↑'}"

    @admin.display(description="alerts", ordering="alert_on")
    def alerts(self, scanner: Scanner) -> str:
        """What is worth an alert."""
        return scanner.get_alert_on_display() if scanner.alert_on else ""

    def save_model(self, request: HttpRequest, obj: Scanner, form: forms.ModelForm, change: bool) -> None:  # type: ignore[type-arg]
        """Save; that a scanner was switched on or off stands in the audit log, wherever it was done."""
        super().save_model(request, obj, form, change)
        if change and "enabled" in form.changed_data:
            note(
                request,
                f"scanners.{'enable' if obj.enabled else 'disable'}",
                {"enabled": not obj.enabled},
                {"enabled": obj.enabled},
                "Saved in the admin. The engine follows it within a second.",
                target=obj.slug,
            )

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The form, with what the editor has to know."""
        obj: Scanner | None = kwargs.get("obj")
        changeable = self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)
        response: TemplateResponse = super().render_change_form(
            request, {**context, "editor": _editor(request, obj) if changeable else None}, *args, **kwargs
        )
        return response


def _editor(request: HttpRequest, scanner: Scanner | None) -> dict[str, Any]:
    """What the editor in the page is told; see `widgets/frontend/src/editor/page.ts`."""
    from processors.scanning.scan import FUNCTIONS  # polars: only where a scanner is edited

    targets = NotificationTarget.objects.select_related("owner").order_by("name")
    if not manages_others(request.user):
        targets = targets.filter(Q(owner_id=request.user.pk) | Q(owner__isnull=True))
    return {
        "validate_url": reverse("api:validate"),
        "preview_url": reverse("api:preview"),
        "fields": fields.as_json(),
        "functions": FUNCTIONS,
        "targets": [
            {"name": target.name, "owner": str(target.owner or ""), "enabled": target.enabled} for target in targets
        ],
        "most_columns": MOST_COLUMNS,
        "most_targets": MOST_TARGETS,
        "is_new": scanner is None,
    }


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_OF_A_TEXT else f"{line[:_SHOWN_OF_A_TEXT]}…"
