"""The users of a bench's web server: `python -m control.bench.web_users N` prints their tokens."""

import json
import sys

import django


def _tokens(users: int) -> list[str]:
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from control.models import ApiToken

    call_command("migrate", verbosity=0)
    # A superuser reads every feed: rights are not what is measured.
    people = [User.objects.create_superuser(f"client{number}", password=None) for number in range(users)]
    return [ApiToken.issue(user, "bench")[1] for user in people]


if __name__ == "__main__":
    django.setup()
    sys.stdout.write(json.dumps({"tokens": _tokens(int(sys.argv[1]))}) + "\n")
