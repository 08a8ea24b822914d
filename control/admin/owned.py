"""The admin of what belongs to somebody: whoever manages others sees everyone's, everybody else his own."""

from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import ForeignKey, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from control.roles import manages_others


class OwnedAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows with an owner.

    Attributes:
        owner: The name of the field that says whose a row is.
    """

    owner: ClassVar[str] = "owner"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Everyone's, or one's own."""
        found: QuerySet[Any] = super().get_queryset(request)
        return found if manages_others(request.user) else found.filter(**{f"{self.owner}_id": request.user.pk or 0})

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Nobody is named to whom others are no concern."""
        filters = super().get_list_filter(request)
        return filters if manages_others(request.user) else [one for one in filters if one != self.owner]

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        """Nobody is searched for where one can only choose oneself."""
        return self.autocomplete_fields if manages_others(request.user) else ()

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "ModelChoiceField[Any] | None":
        """Everyone, or oneself."""
        ones_own = db_field.name == self.owner and not manages_others(request.user)
        if ones_own:
            kwargs["queryset"] = User.objects.filter(pk=request.user.pk or 0)
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if ones_own and field is not None:
            field.required = True
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """One's own, unless it is said otherwise."""
        return {self.owner: request.user.pk, **super().get_changeform_initial_data(request)}
