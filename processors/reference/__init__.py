"""Reference data: what the market was like before the day, and what its companies are; loaded in jobs, cached by kind.

`loading.refresh` asks Massive one page a call, in the order in which boards need it: splits and the previous day first,
then floats, ratios and names, then the volumes of the 29 days before. `rows` puts a symbol's array together from what
has come so far; what is missing, and why, stands in `ReferenceState`. A replayed recording and the simulator answer
the same calls.
"""

from processors.reference.days import day_of, market_date
from processors.reference.loading import refresh, refresh_soon
from processors.reference.state import REFERENCE_COLUMNS, REFERENCE_TEXTS, Kind, ReferenceState, reference_state
from processors.reference.vendor import rest_url

__all__ = [
    "REFERENCE_COLUMNS",
    "REFERENCE_TEXTS",
    "Kind",
    "ReferenceState",
    "day_of",
    "market_date",
    "reference_state",
    "refresh",
    "refresh_soon",
    "rest_url",
]
