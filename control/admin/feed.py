"""The admin of the feed's settings."""

from django.contrib import admin
from django.db import transaction
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from control.admin.noting import note
from control.models import FeedSettings


@admin.register(FeedSettings)
class FeedSettingsAdmin(ModelAdmin):  # type: ignore[misc]
    """The feed's one row: on and off, where from, which market, what of it, how many workers. All of it is followed
    within seconds."""

    list_display = ("__str__", "enabled", "feed", "market", "subscriptions", "always", "record", "feed_workers_now")
    readonly_fields = ("feed_workers_now",)
    fieldsets = (
        ("The feed", {"fields": ("enabled", "feed", "market", "subscriptions", "always")}),
        ("Recording", {"fields": ("record",)}),
        ("Feed workers", {"fields": ("feed_workers", "feed_workers_now")}),
    )
    warn_unsaved_form = True

    @admin.display(description="feed workers now")
    def feed_workers_now(self, row: FeedSettings) -> str:
        """How many are wanted, and how many run."""
        # Every process loads the admin at its start; the cache's client takes a tenth of a second of it.
        from redis import RedisError

        from control.selectors import feed_crew
        from processors.store import connect

        try:
            return str(feed_crew(connect()) or "not kept by `up`")
        except RedisError:
            return "unknown: the cache cannot be reached"

    def save_model(self, request: HttpRequest, obj: FeedSettings, form: ModelForm, change: bool) -> None:  # type: ignore[type-arg]
        """Save, and say so in the audit log, as the controls of the system page do."""
        changed = [name for name in form.changed_data if name in form.cleaned_data]
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if not changed:
                return
            note(
                request,
                "feed_settings.save",
                {name: form.initial.get(name) for name in changed},
                {name: form.cleaned_data[name] for name in changed},
                "Saved. The listener and `up` follow it within a second; the system page shows that they do.",
            )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one row, made with the database."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FeedSettings | None = None) -> bool:
        """Without it nothing could be set."""
        return False
