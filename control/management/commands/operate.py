"""`manage.py operate NAME [key=value …]`: what the system page does, from a terminal; audited all the same."""

import getpass
from argparse import ArgumentParser
from typing import Any

import pydantic
import redis
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from control.models import AuditEntry


class Command(BaseCommand):
    help = "Have something done to the running system, and wait for its answer. Without a name: list what can be done."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="such as listener.stop")
        parser.add_argument("parameters", nargs="*", metavar="key=value", help="such as count=3, or count=null")

    def handle(self, *args: Any, **options: Any) -> None:
        from control.operations.performing import perform
        from control.operations.registry import OPERATIONS

        name = options["name"]
        if name is None:
            for operation in OPERATIONS.values():
                needed = " ".join(f"{field}=" for field in operation.parameters.model_fields)
                self.stdout.write(f"{operation.name} {needed}".rstrip())
            return
        if name not in OPERATIONS:
            raise CommandError(f"There is no operation {name}: `manage.py operate` lists them.")
        try:
            entry = perform(
                name, None, AuditEntry.Via.COMMAND, parameters=_parsed(options["parameters"]), username=_who()
            )
        except pydantic.ValidationError as error:
            raise CommandError("\n".join(_in_words(one) for one in error.errors())) from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        except redis.RedisError as error:
            raise CommandError(f"The cache cannot be reached ({type(error).__name__}). Is it running?") from None
        except DatabaseError as error:
            raise CommandError(
                f"The audit log cannot be written ({error}), so nothing was done. Did 'manage.py migrate' run?"
            ) from None
        if entry.state != AuditEntry.State.DONE:
            raise CommandError(f"{entry.get_state_display()}: {entry.result}")
        self.stdout.write(entry.result)


def _parsed(words: list[str]) -> dict[str, Any]:
    """Parameters as they are typed; pydantic makes numbers and flags of them."""
    parameters: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise CommandError(f"{word!r}: write parameters as key=value.")
        parameters[key] = None if value == "null" else value
    return parameters


def _in_words(error: Any) -> str:
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody on the server"
