"""`manage.py asyncapi`: the protocol of `/ws` as AsyncAPI; docs/asyncapi.json is what it prints."""

from typing import Any

from django.core.management.base import BaseCommand

from widgets.protocol.asyncapi import as_json


class Command(BaseCommand):
    """Print the description of `/ws`."""

    help = "Print the protocol of /ws as AsyncAPI 3.0, with the JSON Schema of every message."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Django's own hook."""
        self.stdout.write(as_json().decode(), ending="")
