"""What a row says of bands and halts, from the events that are kept of a symbol; and which halts are seen at all."""

from collections.abc import Mapping
from math import nan
from typing import Any, Final

import msgspec

from listener.events import Luld, TradeHalt, event_ms
from processors import parts

LULD_PAUSE: Final = "LULD pause"
# Source: the trade halt codes of nasdaqtrader.com. Pauses of limit-up-limit-down bear one name, whoever called them.
_REASONS: Final[dict[str, str]] = {
    **dict.fromkeys(("LUDP", "LUDS", "M", "T5"), LULD_PAUSE),
    "T1": "News pending",
    "T2": "News released",
    "T3": "News and resumption times",
    "T6": "Extraordinary market activity",
    "T7": "Quotation only",
    "T8": "ETF halt",
    "T12": "Information requested",
    "H4": "Non-compliance",
    "H9": "Filings not current",
    "H10": "SEC suspension",
    "H11": "Regulatory concern",
    "O1": "Operations halt",
    "IPO1": "IPO not yet trading",
    "IPOQ": "IPO quoting",
    "IPOE": "IPO quoting extended",
    "M1": "Corporate action",
    "M2": "Quotation not available",
    **{f"MWC{level}": f"Market-wide breaker, level {level}" for level in (1, 2, 3)},
    "MWC0": "Market-wide breaker, carried over",
    "MWCQ": "Market-wide breaker, resuming",
    "C3": "News not forthcoming",
    "C4": "Qualifications met",
    "C9": "Filings met",
    "C11": "Halt ended by another regulator",
    "R1": "New issue available",
    "R2": "Issue available",
    "R4": "Qualifications resolved",
    "R9": "Filings resolved",
    "D": "Security deleted",
}

_decode = msgspec.json.Decoder(Luld | TradeHalt).decode


class Halt(msgspec.Struct, frozen=True):
    """Bands and the last halt of a symbol. Prices in dollars, times in epoch milliseconds; NaN where none is known.

    Attributes:
        upper: The upper price band.
        lower: The lower price band.
        bands_at: Since when they stand.
        halted_at: When trading stopped.
        resumed_at: When trading resumed, or will: a time ahead of the market's clock has only been announced, and the
            symbol is halted until then.
        resume_at: When the list of halts said that trading resumes after this halt.
        reason: Why, in words; None where nothing was halted.
    """

    upper: float = nan
    lower: float = nan
    bands_at: float = nan
    halted_at: float = nan
    resumed_at: float = nan
    resume_at: float = nan
    reason: str | None = None


def halt_figures(bands: bytes | None, halt: bytes | None, resume: bytes | None) -> Halt:
    """What the kept events of a symbol say.

    Args:
        bands: Of `parts.BANDS`.
        halt: Of `parts.HALT`.
        resume: Of `parts.RESUME`.
    """
    upper = lower = bands_at = halted_at = resumed_at = resume_at = nan
    reason: str | None = None
    withdrawn = False
    if bands is not None:
        event = _decode(parts.event_of(bands))
        if isinstance(event, Luld):
            upper, lower, bands_at = event.h or nan, event.l or nan, float(event_ms(event.t))
    if halt is not None:
        event = _decode(parts.event_of(halt))
        halted_at = float(event_ms(event.t))
        reason = reason_text(event.reason) if isinstance(event, TradeHalt) else LULD_PAUSE
        withdrawn = isinstance(event, TradeHalt) and not event.resume_at
    if resume is not None:
        event = _decode(parts.event_of(resume))
        if isinstance(event, Luld):
            resumed_at = float(event_ms(event.t))
        elif not (withdrawn and event_ms(event.t) == halted_at):
            # Otherwise the same halt was told with a time, and later without: it goes on.
            resumed_at = float(event.resume_at or nan)
            # One that lies before this halt ended another.
            resume_at = resumed_at if resumed_at > halted_at else nan
    return Halt(upper, lower, bands_at, halted_at, resumed_at, resume_at, reason)


def reason_text(code: str) -> str:
    """Nasdaq Trader's reason code in words; one that is new stands as it is."""
    return _REASONS.get(code, f"Halt {code}".rstrip())


def halts_coverage(report: Mapping[str, Any]) -> str:
    """Which halts the boards see, in a sentence or two.

    Args:
        report: The listener's report.
    """
    if not report:
        return "No listener is running."
    by_luld = any(str(channel).startswith(("LULD", "*")) for channel in report.get("subscriptions", ()))
    halts = report.get("trade_halts") or {}
    state, problem = halts.get("state"), halts.get("problem")
    if state == "recorded":
        return "What the recording holds."
    if state == "on" and not problem:
        listed = halts.get("name", "")
        if by_luld:
            return f"Nasdaq-listed names by LULD events; NYSE-listed names from {listed}."
        return f"All names from {listed}, by the minute."
    missing = f"the list of halts cannot be loaded ({problem})" if problem else "the list of halts is off"
    if by_luld:
        return f"Nasdaq-listed names by LULD events; NYSE-listed names are missing: {missing}."
    return f"No halts: no LULD events are subscribed to, and {missing}."
