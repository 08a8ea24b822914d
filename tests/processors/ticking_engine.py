"""An engine in a process of its own that ticks until it is killed: `python -m tests.processors.ticking_engine`.

It has one rule and needs no database. It says `published` when it has published for the first time.
"""

import sys
from time import sleep
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from processors.scanning.ticks import Rules


def rules() -> "Rules":
    """Its rule: every symbol, with an alert when it comes."""
    from processors.scanning.boards import ScannerRow
    from processors.scanning.ticks import Rules

    return Rules((ScannerRow("all", "", "price", limit=500, tick_ms=250, alert_on="enter", cooldown_s=0),))


def main() -> None:
    """Tick for ever."""
    django.setup()
    from processors.scanning.engine import Engine
    from processors.store import default_store

    engine = Engine(default_store(), rules=rules)
    said = False
    while True:
        if engine.tick() and not said:
            said = True
            sys.stdout.write("published\n")
            sys.stdout.flush()
        sleep(0.1)


if __name__ == "__main__":
    main()
