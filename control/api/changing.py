"""How a row is changed over the API: what is named is set, all of it is checked, and nothing else is written."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model

Row = TypeVar("Row", bound=Model)


def save_changes(row: Row, changes: Mapping[str, Any]) -> Row:
    """Set, check and save columns of a row; what somebody else changed meanwhile in others stays.

    Raises:
        django.core.exceptions.ValidationError: A value cannot be used.
    """
    if missing := [name for name, value in changes.items() if value is None]:
        raise ValidationError(dict.fromkeys(missing, "Give a value, or leave it out to keep what stands."))
    for name, value in changes.items():
        setattr(row, name, value)
    row.full_clean()
    row.save(update_fields=list(changes))
    return row
