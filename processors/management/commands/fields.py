"""`manage.py fields [--json]`: every field of a row in words; docs/fields.md is what it prints."""

from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandParser

from processors.fields import as_json, as_markdown


class Command(BaseCommand):
    """Print the fields of the symbol table with their units, formulas and sources."""

    help = "Print every field of a row: unit, meaning, formula, source."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Django's own hook."""
        parser.add_argument("--json", action="store_true", help="as JSON instead of a table in Markdown")

    def handle(self, *args: Any, **options: Any) -> None:
        """Django's own hook."""
        text = msgspec.json.encode(as_json()).decode() + "\n" if options["json"] else as_markdown()
        self.stdout.write(text, ending="")
