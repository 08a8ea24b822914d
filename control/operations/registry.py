"""Every operation there is, by name, in the order of an event's way."""

from itertools import chain
from typing import Any, Final

from control.operations import cache, jobs, listener, logs, parts, queues, reference, scanners, web, workers
from control.operations.operation import Operation

_MODULES: Final = (listener, queues, workers, jobs, scanners, reference, cache, web, parts, logs)
OPERATIONS: Final[dict[str, Operation[Any]]] = {
    operation.name: operation for operation in chain.from_iterable(module.OPERATIONS for module in _MODULES)
}
