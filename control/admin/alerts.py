"""The admin of the alert history: a million rows are searched, paged and exported as quickly as a hundred."""

from typing import Any, Final

import msgspec
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from control.admin.alert_search import EXPORT_COLUMNS, AlertSearch, exported, moment_of
from control.admin.history import HistoryAdmin
from control.admin.keyset import KeysetChangeList
from control.csv_export import csv_response
from control.models import Alert, Scanner
from processors.fields import BY_NAME

_FILTERS: Final = tuple(AlertSearch.base_fields)
_MOST_RULES: Final = 500


class AlertChangeList(KeysetChangeList):
    """A page of the alerts that match the form above them."""

    keys = ("at", "pk")

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """What is left for Django's own filters, which look at each parameter: nothing of ours."""
        return {name: value for name, value in super().get_filters_params(params).items() if name not in _FILTERS}

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str] | None = None) -> QuerySet[Alert]:
        """The alerts that match, in order; of each what the list shows."""
        self.search = AlertSearch(request.GET)
        found: QuerySet[Alert] = super().get_queryset(request, exclude_parameters)
        return self.search.applied_to(found).defer("row")


@admin.register(Alert)
class AlertAdmin(HistoryAdmin):
    """The history of alerts, newest first."""

    list_display = ("time", "symbol", "alert_kind", "rule", "shown_price", "note")
    list_per_page = 100
    sortable_by = ()
    list_before_template = "admin/alert_search.html"
    fields = readonly_fields = (
        "time",
        "symbol",
        "alert_kind",
        "rule",
        "shown_price",
        "note",
        "trading_day",
        "as_it_was",
    )

    @admin.display(description="time (New York)")
    def time(self, alert: Alert) -> str:
        """The edge's time in the market's zone."""
        return f"{moment_of(alert.at):%Y-%m-%d %H:%M:%S.%f}"[:-3]

    @admin.display(description="kind")
    def alert_kind(self, alert: Alert) -> str:
        """What happened."""
        return alert.kind.replace("_", " ")

    @admin.display(description="price")
    def shown_price(self, alert: Alert) -> str:
        """In dollars, with the places that such prices are quoted with."""
        return "" if alert.price is None else f"{alert.price:,.{2 if alert.price >= 1 else 4}f}"

    @admin.display(description="the row as it was")
    def as_it_was(self, alert: Alert) -> SafeString:
        """Every field of the row when the alert was given."""
        known = ((name, value) for name, value in alert.row.items() if value is not None)
        rows = format_html_join(
            "",
            '<tr><th scope="row" title="{}">{}</th><td>{}</td></tr>',
            (
                (BY_NAME[name].description if name in BY_NAME else "", name, _in_words(name, value))
                for name, value in known
            ),
        )
        return format_html('<table class="tw-row">{}</table>', rows)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AlertChangeList]:
        """Ours, which counts nothing."""
        return AlertChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The list, with the names of rules to choose from."""
        rules = Scanner.objects.exclude(alert_on="").order_by("slug").values_list("slug", flat=True)[:_MOST_RULES]
        return super().changelist_view(request, {"rules": rules, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        """Those of every table, and the export's."""
        export = path("export/", self.admin_site.admin_view(self.export), name="control_alert_export")
        urls: list[URLPattern] = super().get_urls()
        return [export, *urls]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The alerts that match, as CSV; however many, they are sent as they are read.

        Raises:
            PermissionDenied: The user may not see alerts.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        search = AlertSearch(request.GET)
        if not search.is_valid():
            # The list says what is wrong.
            return HttpResponseRedirect(f"{reverse('admin:control_alert_changelist')}?{request.GET.urlencode()}")
        return csv_response("alerts", EXPORT_COLUMNS, exported(search.applied_to(self.get_queryset(request))))


def _in_words(name: str, value: Any) -> str:
    unit = BY_NAME[name].unit if name in BY_NAME else "text"
    if isinstance(value, bool) or unit in {"text", "flag"} or not isinstance(value, int | float):
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if unit in {"time", "countdown"}:
        return f"{moment_of(int(value)):%Y-%m-%d %H:%M:%S}"
    return f"{value:,}"
