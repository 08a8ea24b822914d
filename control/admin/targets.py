"""The admin of notification targets and of what was delivered to them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from control.admin.history import HistoryAdmin
from control.admin.keyset import KeysetChangeList
from control.models import NotificationDelivery, NotificationTarget


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
class NotificationTargetAdmin(ModelAdmin):  # type: ignore[misc]
    """Where alerts go beside the page; a test is sent with the button below."""

    form = TargetForm
    list_display = ("name", "service", "belongs_to", "enabled", "last_sent_at", "last_error")
    list_editable = ("enabled",)
    list_filter = ("enabled", "owner")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    fields = ("name", "owner", "url", "enabled", "last_sent_at", "last_error")
    readonly_fields = ("last_sent_at", "last_error")
    autocomplete_fields = ("owner",)
    actions_submit_line = ("save_and_test",)

    @admin.display(description="service")
    def service(self, target: NotificationTarget) -> str:
        """The service's name; of the address no more."""
        return _shown(target.url)

    @admin.display(description="owner", ordering="owner__username")
    def belongs_to(self, target: NotificationTarget) -> str:
        """Whose scanners' alerts it takes."""
        return str(target.owner or "everyone's scanners")

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
        """All of them; of the alerts only their names."""
        found: QuerySet[NotificationDelivery] = super().get_queryset(request)
        return found.select_related("alert", "target").defer("alert__row", "target__url")


def _shown(address: str) -> str:
    # Every process loads the admin at its start; apprise takes a tenth of a second of it.
    from control.notifications.addresses import shown

    return shown(address)
