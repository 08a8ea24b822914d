"""The admin: what people change by hand, a module a subject."""

from control.admin import feed, history, people, scanners, sockets

__all__ = ["feed", "history", "people", "scanners", "sockets"]
