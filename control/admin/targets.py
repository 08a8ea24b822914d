"""The admin of notification targets and of what was delivered to them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from control.admin.history import HistoryAdmin
from control.admin.keyset import KeysetChangeList
from control.admin.owned import OwnedAdmin
from control.models import NotificationDelivery, NotificationTarget
from control.roles import manages_others


class TargetForm(ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    """An address is entered and never shown again; left empty, the one that stands stays."""

    class Meta:
        model = NotificationTarget
        fields = ("name", "owner", "url", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["url"]
        field.widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"})
        if self.instance.pk:
            self.initial["url"] = ""
            field.required = False
            field.help_text = f"Now {_shown(self.instance.url)}. Empty: it stays. {field.help_text}"

    def clean_url(self) -> str:
        """What was entered, else what stands."""
        return str(self.cleaned_data["url"] or self.instance.url)


@admin.register(NotificationTarget)
class NotificationTargetAdmin(OwnedAdmin):
    """Where alerts go beside the page; a test is sent with the button below."""

    form = TargetForm
    list_display = ("name", "service", "belongs_to", "enabled", "last_sent_at", "last_error")
    list_filter = ("enabled", "owner")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    fields = ("name", "owner", "url", "enabled", "last_sent_at", "last_error")
    readonly_fields = ("last_sent_at", "last_error")
    autocomplete_fields = ("owner",)
    # Not editable in the list: a row whose address cannot be read would be saved without one.
    actions = ("switch_on", "switch_off")
    actions_submit_line = ("save_and_test",)

    @admin.display(description="service")
    def service(self, target: NotificationTarget) -> str:
        """The service's name; of the address no more."""
        return _shown(target.url)

    @admin.display(description="owner", ordering="owner__username")
    def belongs_to(self, target: NotificationTarget) -> str:
        """Whose scanners' alerts it takes."""
        return str(target.owner or "everyone's scanners")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """For everyone's scanners, where one may make those."""
        said = super().get_changeform_initial_data(request)
        return said | {"owner": None} if manages_others(request.user) and "owner" not in request.GET else said

    @admin.action(description="Switch the selected targets on", permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[NotificationTarget]) -> None:
        """Let alerts go there."""
        self.message_user(request, f"{queryset.update(enabled=True)} on.")

    @admin.action(description="Switch the selected targets off", permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[NotificationTarget]) -> None:
        """Let no more alerts go there."""
        self.message_user(request, f"{queryset.update(enabled=False)} off.")

    @action(description="Save and send a test", permissions=["change"])  # type: ignore[untyped-decorator]
    def save_and_test(self, request: HttpRequest, obj: NotificationTarget) -> None:
        """Send a test to the target as it was just saved."""
        from control.notifications.delivering import send_test

        error = send_test(obj)
        if error:
            self.message_user(request, f"The test did not arrive: {error}", messages.ERROR)
        else:
            self.message_user(request, f"The test was delivered to {obj}.")


class DeliveryChangeList(KeysetChangeList):
    """A page of the deliveries, newest first: they are as many as alerts."""

    keys = ("id", "pk")


@admin.register(NotificationDelivery)
class NotificationDeliveryAdmin(HistoryAdmin):
    """What was sent, what waits, and why something did not arrive."""

    list_display = ("alert", "target", "state", "attempts", "created_at", "sent_at", "error")
    list_filter = ("state", "target")
    list_per_page = 100
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[DeliveryChangeList]:
        """Ours, which counts nothing."""
        return DeliveryChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[NotificationDelivery]:
        """All of them, or of one's own targets; of the alerts only their names."""
        found: QuerySet[NotificationDelivery] = super().get_queryset(request)
        if not _sees_all_deliveries(request):
            found = found.filter(target__owner_id=request.user.pk or 0)
        return found.select_related("alert", "target").defer("alert__row", "target__url")

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Others' targets are not named to whom they are no concern."""
        return self.list_filter if _sees_all_deliveries(request) else ("state",)


def _sees_all_deliveries(request: HttpRequest) -> bool:
    return manages_others(request.user) or request.user.has_perm("control.view_system")


def _shown(address: str) -> str:
    # Every process loads the admin at its start; apprise takes a tenth of a second of it.
    from control.notifications.addresses import shown

    return shown(address)
