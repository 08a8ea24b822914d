"""The least level that a process logs, and its pool's processes with it, changed while it runs."""

import logging
import mmap
from typing import Any, Final

from project import logs

# Memory that a pool's processes share with the one that has forked them; 0: nobody has changed the level.
_shared: Final = mmap.mmap(-1, 1)


def set_level(name: str) -> str:
    """Log from this level on, here and, from their next task on, in the pool's processes; the level before.

    Raises:
        ValueError: There is no such level.
    """
    before = logs.log_level(name)
    _shared[0] = logging.getLevelNamesMapping()[name]
    return before


def follow(**kwargs: Any) -> None:
    """Take over the level of the process that has forked this one; for the start of a task."""
    wanted = logging.getLevelName(_shared[0])
    if _shared[0] and logs.current_log_level() != wanted:
        logs.log_level(wanted)
