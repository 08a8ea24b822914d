"""How a process of a bench tells whoever started it what it does."""

import sys

import msgspec


def say(what: msgspec.Struct) -> None:
    """Print it as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()
