"""Rows, boards and alerts computed a second time: plain Python over a recording, sharing no code with the system.

Slow and obvious on purpose: what is kept of a symbol is kept event by event in the order of receipt, and everything
that depends on a moment is looked up anew at each.
"""

from tests.independent.market import Market, table
from tests.independent.recording import frames, lines

__all__ = ["Market", "frames", "lines", "table"]
