"""The audit log's end: entries go when their time is over."""

import logging
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from control.models import AuditEntry

log = logging.getLogger(__name__)

# A step takes the database's lock for a moment only.
_AT_ONCE: Final = 1_000


def forget_old_entries() -> int:
    """Remove entries that are older than `AUDIT_DAYS`; how many they were.

    Raises:
        django.db.DatabaseError: The database does not take it.
    """
    before = timezone.now() - timedelta(days=settings.AUDIT_DAYS)
    removed = 0
    while old := list(AuditEntry.objects.filter(at__lt=before).order_by("pk").values_list("pk", flat=True)[:_AT_ONCE]):
        removed += AuditEntry.objects.filter(pk__in=old).delete()[0]
    if removed:
        log.info("%d entries of the audit log were older than %d days and are gone", removed, settings.AUDIT_DAYS)
    return removed
