"""How an operation is done: permission, audit log, the deed itself, and what came of it. There is no other way."""

import logging
from collections.abc import Mapping
from typing import Any

import redis
from amqp.exceptions import AMQPError
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.utils import timezone
from kombu.exceptions import OperationalError

from control.models import AuditEntry
from control.operations.operation import Asked, CannotBeDone, Operation, Outcome, Parameters, failed
from control.operations.registry import OPERATIONS
from processors.store import default_store

log = logging.getLogger(__name__)


def perform(
    name: str,
    user: User | None,
    via: AuditEntry.Via,
    address: str = "",
    parameters: Mapping[str, Any] | Parameters | None = None,
    username: str = "",
) -> AuditEntry:
    """Have an operation done, and wait for the component's answer, a few seconds at most.

    Args:
        name: The operation's.
        user: Who asks; None on the command line, where whoever has the machine may do everything.
        via: The way he asks.
        address: The client's.
        parameters: The operation's.
        username: Whom the audit log names where there is no user.

    Returns:
        The entry in the audit log, with the outcome: also when it failed or nobody answered.

    Raises:
        KeyError: There is no such operation.
        django.core.exceptions.PermissionDenied: The user may not.
        pydantic.ValidationError: The parameters are not as they should be.
        django.core.exceptions.ValidationError: They have values that can never be used.
        django.db.DatabaseError: The audit log cannot be written; nothing was done then.
    """
    operation = OPERATIONS[name]
    if user is not None and not user.has_perm(operation.permission):
        log.warning("%s asked for %s without the permission %s", user, name, operation.permission)
        raise PermissionDenied(f"{operation.title} needs the permission {operation.permission}.")
    given = parameters.model_dump(exclude_unset=True) if isinstance(parameters, Parameters) else dict(parameters or {})
    wanted = operation.parameters.model_validate(given)
    if operation.check is not None:
        operation.check(wanted)
    entry = AuditEntry.objects.create(
        user=user,
        username=user.get_username() if user is not None else username,
        via=via,
        address=address,
        operation=name,
        target=operation.target(wanted)[:200],
        parameters=wanted.model_dump(mode="json", exclude_unset=True),
    )
    outcome = _run(operation, wanted)
    entry.state, entry.result = outcome.state, outcome.said
    entry.before, entry.after = outcome.before, outcome.after
    entry.finished_at = timezone.now()
    try:
        entry.save(update_fields=["state", "result", "before", "after", "finished_at"])
    except DatabaseError:
        # What was done is done: whoever asked has to hear of it all the same.
        log.exception("the outcome of entry %s cannot be written into the audit log, where it stays asked", entry.pk)
        entry.result = f"{entry.result} The audit log could not take this outcome: there the entry stays asked.".strip()
    level = logging.INFO if outcome.state is AuditEntry.State.DONE else logging.WARNING
    log.log(level, "%s: %s %s: %s: %s", entry.username, name, entry.target, outcome.state, outcome.said)
    return entry


def _run(operation: Operation[Any], wanted: Parameters) -> Outcome:
    try:
        return operation.run(Asked(wanted, default_store(), operation.patience_s))
    except CannotBeDone as reason:
        return failed(str(reason))
    # Their texts can hold addresses with passwords.
    except redis.RedisError as error:
        return failed(f"The cache cannot be reached ({type(error).__name__}); try again when it is back.")
    except (OperationalError, AMQPError, OSError) as error:
        return failed(f"The broker cannot be reached ({type(error).__name__}); try again when it is back.")
    except DatabaseError as error:
        return failed(f"The database cannot be written ({type(error).__name__}); try again.")
    except Exception as error:
        log.exception("%s broke", operation.name)
        return failed(f"It broke half-way ({type(error).__name__}); the log of the web process says where.")
