"""Whose messages are whose: a rule that somebody owns shows its board and its alerts to its owner and to staff alone.

The engine says whose a rule is before it publishes anything of it (lua/publish.lua), in a hash and on a channel of the
same name, so that no message is ever ahead of the knowledge whom it is for.
"""

from collections.abc import Callable
from typing import Any, Final

EVERYONE: Final = 0
_NOBODY: Final = -1
_OF_A_USER: Final = "alerts:user:"
_OF_RULES: Final = ("scanners:", "alerts:")


def owner_of(feed: str, of_rule: Callable[[str], int | None]) -> int:
    """Whose a feed is: a user's number, or `EVERYONE`.

    Args:
        feed: A feed; a pattern is everyone's, since each message that it brings is looked at.
        of_rule: Gives the owner of a rule, as far as the engine has said it.
    """
    if not feed.startswith(_OF_RULES) or feed.endswith("*"):
        return EVERYONE
    if feed.startswith(_OF_A_USER):
        user = feed.removeprefix(_OF_A_USER)
        return int(user) if user.isdecimal() and len(user) < 20 and user != "0" else _NOBODY
    return of_rule(feed.partition(":")[2]) or EVERYONE


def read_owners(kept: dict[Any, Any]) -> dict[str, int]:
    """The hash, read."""
    return {rule.decode(): int(owner) for rule, owner in kept.items()}


def read_change(message: str) -> tuple[str, int]:
    """A rule and its owner, as the channel says it."""
    owner, _, rule = message.partition(" ")
    return rule, int(owner)
