"""`manage.py build_frontend`: the dashboard's JavaScript, built if its sources changed."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from project import frontend


class Command(BaseCommand):
    help = "Build the dashboard's front end if its sources changed since the last build."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--force", action="store_true", help="build although nothing changed")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            built = frontend.build(force=options["force"])
        except frontend.BuildError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Built the front end." if built else "The front end is up to date.")
