"""Logs: structlog renders what the standard library's loggers and our own say, for people or as JSON.

Lines go to standard error; `up` adds the part's name and a colour, an operator's collector takes the JSON. Each line
says what it is about, where that is known: the batch and feed, the request and its user, the job. None holds a secret.
"""

import logging
import sys
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Any, Final

import structlog

from project.redaction import Redaction

# The project's own packages, whose level can be as low as one likes. Libraries say nothing below INFO: at DEBUG they
# would log every frame and every message.
OURS: Final = ("control", "listener", "processors", "project", "widgets")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_log = logging.getLogger(__name__)


def logging_config(level: str, fmt: str, secrets: Collection[str] = ()) -> dict[str, Any]:
    """The `LOGGING` setting.

    Args:
        level: The least level shown, such as `INFO`.
        fmt: `console` for people, `json` for one object a line.
        secrets: What must not appear in any line.
    """
    render: list[Any] = [structlog.processors.format_exc_info, Redaction(secrets)]
    if fmt == "json":
        render.append(structlog.processors.JSONRenderer())
    else:
        # Not its own tracebacks: they show the variables.
        plain = structlog.dev.plain_traceback
        render.append(structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=plain))
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structlog": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [
                    structlog.contextvars.merge_contextvars,
                    _say_whose,
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.add_logger_name,
                    structlog.stdlib.ExtraAdder(),
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.StackInfoRenderer(),
                ],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
        "root": {"handlers": ["stderr"], "level": _of_libraries(level)},
        "loggers": {
            **{name: {"level": level} for name in OURS},
            # One line a task would be thousands a second.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            # A late task is an expected, counted event here, not a line for each.
            "celery.worker.request": {"level": "ERROR"},
            "celery.beat": {"level": "WARNING"},
            "daphne": {"level": "WARNING"},
            "django.channels.server": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
            "asyncio": {"level": "WARNING"},
        },
    }


def _say_whose(logger: Any, name: str, line: Any) -> Any:
    from project.request_context import say_whose  # Django with it, whose settings need this module

    return say_whose(logger, name, line)


def _of_libraries(level: str) -> str:
    return "INFO" if logging.getLevelName(level) < logging.INFO else level


def current_log_level() -> str:
    """The least level that this process shows of its own."""
    return logging.getLevelName(logging.getLogger(OURS[0]).getEffectiveLevel())


def log_level(level: str) -> str:
    """Let this process show lines of at least `level` from now on; what it was before.

    Raises:
        ValueError: There is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no level: it is one of {', '.join(LEVELS)}")
    before = current_log_level()
    logging.getLogger().setLevel(_of_libraries(level))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    return before


def log_what_is_printed() -> None:
    """Log warnings, and what ends the process or a thread of it: printed, they pass formatter and redaction by."""
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _log.critical("ended by an error", exc_info=(kind, error, traceback))


def _uncaught_in_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is None or issubclass(ended.exc_type, SystemExit):
        return
    name = ended.thread.name if ended.thread is not None else "?"
    _log.error("the thread %s ended by an error", name, exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback))
