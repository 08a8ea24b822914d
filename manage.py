#!/usr/bin/env python
"""Tapewatch's command line: `python manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed for this Python. Run 'make setup' and use .venv/bin/python, "
            "or 'make run' to start everything."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
