"""The admin of what people keep of their own: price levels, layouts and watchlists."""

import json
import re
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextareaWidget

from control.admin.owned import OwnedAdmin
from control.models import Layout, PriceLevel, Watchlist

_BETWEEN: Final = re.compile(r"[\s,;]+")


@admin.register(PriceLevel)
class PriceLevelAdmin(OwnedAdmin):
    """Price levels; one is followed within a second."""

    owner = "user"
    list_display = ("symbol", "direction", "price", "user", "note", "cooldown_s", "enabled")
    list_editable = ("enabled",)
    list_filter = ("enabled", "direction")
    list_select_related = ("user",)
    search_fields = ("=symbol", "note", "=user__username")
    search_help_text = "A symbol, a user, or words of a note"
    autocomplete_fields = ("user",)
    fields = ("user", "symbol", "price", "direction", "note", "cooldown_s", "enabled", "notify")


class SymbolsField(forms.CharField):
    """Tickers as people write them, one after the other; a list as it is kept."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """The list as text."""
        return " ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]  # a text comes in, a list goes out
        """The text as a list, each symbol once, in the order of the text."""
        return list(dict.fromkeys(word for word in _BETWEEN.split(value or "") if word))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether other symbols stand there, or in another order."""
        return bool((initial or []) != self.to_python(data))


class WatchlistForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    """Symbols are typed or pasted, whatever stands between them."""

    symbols = SymbolsField(
        required=False, max_length=20_000, help_text="Tickers in your order, with spaces, commas or lines between them."
    )

    class Meta:
        model = Watchlist
        fields = ("owner", "name", "symbols")


@admin.register(Watchlist)
class WatchlistAdmin(OwnedAdmin):
    """Lists of symbols."""

    form = WatchlistForm
    list_display = ("name", "owner", "how_many", "beginning", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("name", "=owner__username")
    search_help_text = "A name or a user"
    autocomplete_fields = ("owner",)
    ordering = ("-updated_at",)

    @admin.display(description="symbols")
    def how_many(self, watchlist: Watchlist) -> int:
        """How many it has."""
        return len(watchlist.symbols)

    @admin.display(description="beginning with")
    def beginning(self, watchlist: Watchlist) -> str:
        """The first of them."""
        first = ", ".join(watchlist.symbols[:6])
        return f"{first}, …" if len(watchlist.symbols) > 6 else first


class _Indented(json.JSONEncoder):
    """JSON as people read it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2, "ensure_ascii": False})


class LayoutForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    """A layout; its content is the page's, to be looked at and copied rather than typed."""

    content = forms.JSONField(
        required=False,
        encoder=_Indented,
        widget=UnfoldAdminTextareaWidget({"rows": 18, "class": "tw-code", "spellcheck": "false"}),
        help_text="What the page keeps: a JSON object.",
    )

    class Meta:
        model = Layout
        fields = ("owner", "name", "shared", "content")

    def clean_content(self) -> Any:
        """An empty field is an empty layout."""
        content = self.cleaned_data["content"]
        return {} if content is None else content


@admin.register(Layout)
class LayoutAdmin(OwnedAdmin):
    """Arrangements of the page."""

    form = LayoutForm
    list_display = ("name", "owner", "shared", "revision", "updated_at")
    list_filter = ("shared",)
    list_select_related = ("owner",)
    search_fields = ("name", "=owner__username")
    search_help_text = "A name or a user"
    autocomplete_fields = ("owner",)
    readonly_fields = ("revision", "created_at", "updated_at")
    ordering = ("-updated_at",)
    fields = ("owner", "name", "shared", "content", "revision", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Layout]:
        """All of them; the list leaves out what is in them."""
        found: QuerySet[Layout] = super().get_queryset(request)
        match = request.resolver_match
        return found.defer("content") if match is not None and match.url_name == "control_layout_changelist" else found

    def save_model(self, request: HttpRequest, obj: Layout, form: Any, change: bool) -> None:
        """Save as the next revision, so that an open page learns that its own is old."""
        if change:
            obj.revision += 1
        super().save_model(request, obj, form, change)
