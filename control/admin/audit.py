"""The admin of the audit log: who had what done to the running system; to be read and searched, never changed."""

import json
from collections.abc import Iterator
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from control.admin.history import HistoryAdmin
from control.admin.keyset import KeysetChangeList
from control.csv_export import Page, csv_response
from control.models import AuditEntry

_EXPORTED: Final = ("id", "at", "username", "via", "address", "operation", "target", "state", "result", "finished_at")
_JSON: Final = ("parameters", "before", "after")
_PAGE: Final = 1_000


class OperationFilter(admin.SimpleListFilter):
    """By operation: of all there are, so that nobody has to look through the log to know them."""

    title = "operation"
    parameter_name = "operation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Their names."""
        from control.operations.registry import OPERATIONS  # what it imports takes long, and only lists need it

        return [(name, name) for name in OPERATIONS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The entries of the one that was chosen."""
        return queryset.filter(operation=self.value()) if self.value() is not None else queryset


class AuditChangeList(KeysetChangeList):
    """A page of the log, newest first."""

    keys = ("id", "pk")


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    """The audit log, newest first."""

    list_display = ("time", "username", "way", "operation", "target", "outcome", "result")
    list_display_links = ("time", "operation")
    list_filter = ("state", OperationFilter, "via", "at")
    list_per_page = 100
    sortable_by = ()
    search_fields = ("username", "operation", "target", "address", "result")
    search_help_text = "A person, an operation, what it was done to, an address, or words of the answer."
    list_before_template = "admin/audit_export.html"
    fields = readonly_fields = (
        *("time", "username", "way", "address", "operation", "target", "shown_outcome", "result", "took"),
        *("shown_parameters", "shown_before", "shown_after"),
    )

    @admin.display(description="time (New York)")
    def time(self, entry: AuditEntry) -> str:
        """When it was asked for."""
        # In one line, however long the answers beside it are.
        return f"{timezone.localtime(entry.at):%Y-%m-%d\N{NO-BREAK SPACE}%H:%M:%S}"

    @admin.display(description="via")
    def way(self, entry: AuditEntry) -> str:
        """The way it was asked for."""
        return entry.get_via_display()

    @display(  # type: ignore[untyped-decorator]
        description="outcome",
        label={
            AuditEntry.State.DONE: "success",
            AuditEntry.State.FAILED: "danger",
            AuditEntry.State.UNANSWERED: "warning",
            AuditEntry.State.ASKED: "info",
        },
    )
    def outcome(self, entry: AuditEntry) -> tuple[str, str]:
        """What came of it."""
        return entry.state, entry.get_state_display()

    @admin.display(description="outcome")
    def shown_outcome(self, entry: AuditEntry) -> str:
        """The same, where there is no place for a label."""
        return entry.get_state_display()

    @admin.display(description="took")
    def took(self, entry: AuditEntry) -> str:
        """How long its answer took."""
        if entry.finished_at is None:
            return "no end is written down: it still runs, or the process that had it done ended meanwhile"
        return f"{(entry.finished_at - entry.at).total_seconds():.3f} s"

    @admin.display(description="parameters")
    def shown_parameters(self, entry: AuditEntry) -> SafeString:
        """What was asked for."""
        return _as_json(entry.parameters)

    @admin.display(description="before")
    def shown_before(self, entry: AuditEntry) -> SafeString:
        """What was."""
        return _as_json(entry.before)

    @admin.display(description="after")
    def shown_after(self, entry: AuditEntry) -> SafeString:
        """What was then."""
        return _as_json(entry.after)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AuditChangeList]:
        """Ours, which counts nothing."""
        return AuditChangeList

    def get_urls(self) -> list[URLPattern]:
        """Those of every table, and the export's."""
        export = path("export/", self.admin_site.admin_view(self.export), name="control_auditentry_export")
        urls: list[URLPattern] = super().get_urls()
        return [export, *urls]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """What the list shows, all pages of it, as CSV.

        Raises:
            PermissionDenied: The user may not see the log.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found: QuerySet[AuditEntry] = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            # As the list does with a filter that is none.
            return HttpResponseRedirect(reverse("admin:control_auditentry_changelist"))
        return csv_response("audit", (*_EXPORTED, *_JSON), _pages(found))


def _pages(found: QuerySet[AuditEntry]) -> Iterator[Page]:
    found = found.order_by("-pk")
    page = list(found[:_PAGE])
    while page:
        yield [_row(entry) for entry in page]
        page = list(found.filter(pk__lt=page[-1].pk)[:_PAGE])


def _row(entry: AuditEntry) -> list[Any]:
    plain = [getattr(entry, name) for name in _EXPORTED]
    return [*plain, *(json.dumps(getattr(entry, name)) for name in _JSON)]


def _as_json(value: Any) -> SafeString:
    if value in (None, {}):
        return format_html("{}", "none")
    return format_html('<pre class="whitespace-pre-wrap">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))
