"""The admin: what people change by hand, a module a subject."""

from control.admin import alerts, audit, feed, history, people, scanners, sockets, targets, tokens, workspace

__all__ = ["alerts", "audit", "feed", "history", "people", "scanners", "sockets", "targets", "tokens", "workspace"]
