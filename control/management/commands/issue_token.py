"""`manage.py issue_token USER [--days N] [--scopes LIST]`: print a token for `/ws` and the API, once."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from control.models import ApiToken, FeedGrant
from control.models.tokens import Scope, usual_scopes

_MOST_DAYS = 36_500


class Command(BaseCommand):
    help = "Print a new token for a user. It is shown once; only its hash is kept."
    # Not the pages' and the API's: loading these takes longer than all the rest of the start.
    requires_system_checks = ["tapewatch"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user's name")
        parser.add_argument("--days", type=int, default=None, help="how long it is valid (until it is revoked)")
        parser.add_argument("--name", default="", help="what it is for, shown in the admin")
        parser.add_argument(
            "--scopes",
            default=",".join(usual_scopes()),
            help=f"what it may be used for, a comma list of {', '.join(Scope.values)} (%(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days: int | None = options["days"]
        if days is not None and not 1 <= days <= _MOST_DAYS:
            raise CommandError(f"--days {days}: use a whole number of days from 1 to {_MOST_DAYS:,}.")
        scopes = {scope.strip() for scope in options["scopes"].split(",")}
        if not scopes <= set(Scope.values):
            raise CommandError(f"--scopes {options['scopes']}: use a comma list of {', '.join(Scope.values)}.")
        try:
            user = User.objects.get(username=options["user"])
        except User.DoesNotExist:
            raise CommandError(
                f"There is no user {options['user']!r}; make one with 'manage.py createsuperuser' or in the admin."
            ) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used ({error}). Is DATABASE_URL right, and did 'manage.py migrate' run?"
            ) from None
        if not user.is_active:
            raise CommandError(f"The user {user.username!r} is switched off; a token would not be accepted.")
        _, token = ApiToken.issue(user, options["name"], days, scopes)
        self.stdout.write(token)
        if not FeedGrant.objects.patterns_of([user.pk])[user.pk]:
            self.stderr.write(
                f"{user.username!r} may read no market data yet: put him into the group viewer in the admin."
            )
