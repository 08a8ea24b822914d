"""Writes into the audit log what was changed in the admin and runs at once, as the controls of the system page do."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from control.models import AuditEntry
from widgets.visitors.origins import request_address


def note(
    request: HttpRequest, operation: str, before: dict[str, Any], after: dict[str, Any], said: str, target: str = ""
) -> None:
    """Note a change that was saved.

    Args:
        request: Whose.
        operation: Such as `feed_settings.save`.
        before: What stood, by setting.
        after: What stands now.
        said: What comes of it.
        target: What was changed, where there are several.
    """
    AuditEntry.objects.create(
        user_id=request.user.pk,
        username=request.user.get_username(),
        via=AuditEntry.Via.BROWSER,
        address=request_address(request),
        operation=operation,
        target=target,
        parameters=after,
        before=before,
        after=after,
        state=AuditEntry.State.DONE,
        result=said,
        finished_at=timezone.now(),
    )
