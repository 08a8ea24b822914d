"""Logs: structlog renders what the standard library's loggers and our own say, for people or as JSON.

Lines go to standard error; `up` adds the part's name and a colour, an operator's collector takes the JSON.
"""

from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def logging_config(level: str, fmt: str) -> dict[str, Any]:
    """The `LOGGING` setting.

    Args:
        level: The least level shown, such as `INFO`.
        fmt: `console` for people, `json` for one object a line.
    """
    if fmt == "json":
        renderers: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structlog": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
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
