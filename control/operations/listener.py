"""The listener: on and off, where it connects to and for what, recording; a restart, a new connection."""

from pathlib import Path
from typing import Annotated, Any, Final

from django.core.exceptions import ValidationError
from pydantic import Field

from control.models import FeedSettings
from control.operations.answers import ask, reporting, successors
from control.operations.operation import (
    Asked,
    Choice,
    Choices,
    Nothing,
    Operation,
    Outcome,
    Parameters,
    done,
    failed,
    unanswered,
)
from control.operations.settings import change, check, check_listens, listener_follows, listener_state, overtaken
from control.selectors import feed_settings
from processors.store import Store

_PERMISSION: Final = "control.run_listener"
_STOPPED: Final = "stopped"
_UNDER_WAY: Final = frozenset({"connecting", "authenticating"})
_OTHERS: Final = frozenset({"live", "waiting", "backing off", "refused"})
_WAITS: Final = "The setting is saved, and the listener follows it when it is back."
_OVERTAKEN: Final = "Somebody has changed the feed's settings again meanwhile, and the listener follows those."


class Feed(Parameters):
    """What is named is set; what is left out stays. An empty text follows the environment."""

    feed: Annotated[str | None, Field(max_length=200, title="Feed")] = Field(
        None, description="real-time, delayed, or the host:port of a server of that protocol.", examples=["delayed"]
    )
    market: str | None = Field(None, max_length=20, title="Market", examples=["stocks"])
    subscriptions: str | None = Field(
        None, max_length=4_000, title="Subscriptions", description="Such as A.*,T.*,Q.AAPL.", examples=["A.*,T.*,Q.*"]
    )
    always: bool | None = Field(
        None, title="Always", description="Stay connected while the market is closed, too.", examples=[False]
    )


class Recording(Parameters):
    """Whether to record."""

    on: bool = Field(title="Record", description="Write what the feed sends to files.", examples=[True])


def _switch(asked: Asked[Nothing], enabled: bool) -> Outcome:
    said = listener_state(asked.store)
    saved, row = change(enabled=enabled)
    before = {"enabled": saved["enabled"], "state": said.get("state")}
    if not said:
        return unanswered(f"No listener reports. {_WAITS}", before, {"enabled": enabled, "state": None})
    wanted = {_STOPPED} if not enabled else _OTHERS
    follows, now = listener_follows(asked, row.revision, lambda state: state["state"] in wanted)
    # It follows, and a feed that keeps it waiting is another matter, which its state tells.
    follows = follows or (enabled and now.get("state") in _UNDER_WAY)
    after = {"enabled": enabled, "state": now.get("state")}
    if not now:
        return unanswered(f"No listener reports any more. {_WAITS}", before, after)
    if not follows and overtaken(now, row.revision):
        return failed(f"{_OVERTAKEN} {_words(now)}", before, after)
    if not follows:
        return unanswered(f"The listener does not answer. It says: {_words(now)} {_WAITS}", before, after)
    return done(_words(now), before, after)


def _start(asked: Asked[Nothing]) -> Outcome:
    return _switch(asked, enabled=True)


def _stop(asked: Asked[Nothing]) -> Outcome:
    return _switch(asked, enabled=False)


def _restart(asked: Asked[Nothing]) -> Outcome:
    gone = reporting(asked.store, "listener")
    outcome = ask(asked, "listener", "restart")
    if outcome.state == "done":
        new = successors(asked, gone, asked.left_s)
        after = {one.name: {"process": one.address} for one in new.values() if one is not None}
        before = {one.name: {"process": one.address} for one in gone}
        if len(after) < len({one.name for one in gone}):
            return done(f"{outcome.said} Its successor has not reported yet.", before, after)
        return done(f"{outcome.said} Its successor runs.", before, after)
    return outcome


def _reconnect(asked: Asked[Nothing]) -> Outcome:
    return ask(asked, "listener", "reconnect")


def _configure(asked: Asked[Feed]) -> Outcome:
    values = _values(asked.parameters)
    said = check_listens(asked.store)
    before, row = change(**values)
    before |= {f"{name} now": said.get(name) for name in ("feed", "market", "subscriptions")}
    follows, now = listener_follows(asked, row.revision, lambda state: state["state"] not in _UNDER_WAY)
    follows = follows or now.get("state") in _UNDER_WAY
    after = values | {f"{name} now": now.get(name) for name in ("feed", "market", "subscriptions")}
    if not follows:
        return unanswered(f"The listener does not answer. {_WAITS}", before, after)
    if "feed" in values and values["feed"] not in ("", now.get("feed")):
        return failed(
            f"The setting is saved, but this listener was started for {now.get('feed')}, which no setting changes: "
            "`manage.py up` without a key and with a recording runs a feed of its own.",
            before,
            after,
        )
    return done(_words(now), before, after)


def _record(asked: Asked[Recording]) -> Outcome:
    on = asked.parameters.on
    before = {"recording": _recording(check_listens(asked.store))}
    _, row = change(record=on)
    follows, now = listener_follows(asked, row.revision, lambda state: (state.get("recording") is not None) is on)
    after = {"recording": _recording(now)}
    if not follows and overtaken(now, row.revision):
        return failed(f"{_OVERTAKEN} {_words(now)}", before, after)
    if not follows:
        return unanswered(f"The listener does not answer. {_WAITS}", before, after)
    problem = (now.get("recording") or {}).get("problem")
    if problem:
        return failed(f"Recording does not work: {problem}", before, after)
    return done("The listener records." if on else "The listener records no more.", before, after)


def _recording(state: dict[str, Any]) -> dict[str, Any] | None:
    """What is written down of a recorder's report: not the figures that change with every frame."""
    report = state.get("recording")
    return {"file": Path(report["file"]).name, "problem": report["problem"]} if report is not None else None


def _words(state: dict[str, Any]) -> str:
    return f"{state['state']}: {state['reason']}"


def _values(parameters: Feed) -> dict[str, Any]:
    return parameters.model_dump(exclude_none=True)


def _check(parameters: Feed) -> None:
    values = _values(parameters)
    if not values:
        raise ValidationError("Name at least one of feed, market, subscriptions and always.")
    check(**values)


def _choices(store: Store) -> Choices:
    feeds = ("real-time", "delayed")
    return {
        "feed": [Choice("", "As the environment says"), *(Choice(feed, feed) for feed in feeds)],
        "market": [Choice("", "As the environment says"), *(Choice(*market) for market in FeedSettings.MARKETS)],
    }


def _current(store: Store) -> dict[str, Any]:
    row = feed_settings()
    return {name: getattr(row, name) for name in Feed.model_fields}


OPERATIONS: Final = (
    Operation(
        "listener.start",
        "Start",
        _PERMISSION,
        "The listener connects to the feed, and events flow again. What the market did meanwhile is filled up by "
        "jobs, as far as the vendor has it.",
        Nothing,
        _start,
    ),
    Operation(
        "listener.stop",
        "Stop",
        _PERMISSION,
        "The listener disconnects from the feed and waits. What it has read already is still published. No event "
        "comes for anybody until it is started again: boards stand still, no alert is given, a recording has a gap.",
        Nothing,
        _stop,
        danger=True,
    ),
    Operation(
        "listener.restart",
        "Restart",
        _PERMISSION,
        "The listener's process publishes what it has buffered, ends, and is started anew by whoever keeps it. "
        "Events of the two or three seconds in between are missed; jobs fill up what the vendor has of them.",
        Nothing,
        _restart,
        danger=True,
        patience_s=8.0,
    ),
    Operation(
        "listener.reconnect",
        "Reconnect",
        _PERMISSION,
        "The listener drops its connection to the feed and makes a new one, without ending. Events of that moment "
        "are missed; jobs fill up what the vendor has of them.",
        Nothing,
        _reconnect,
    ),
    Operation(
        "listener.configure",
        "Feed and subscriptions",
        _PERMISSION,
        "The listener follows at once. Another feed or market is another source: table, bars, boards and news begin "
        "anew for everyone. Other subscriptions change the connection as it is.",
        Feed,
        _configure,
        danger=True,
        check=_check,
        target=lambda parameters: ", ".join(_values(parameters)),
        choices=_choices,
        current=_current,
    ),
    Operation(
        "listener.record",
        "Recording",
        _PERMISSION,
        "The listener begins or ends to write what the feed sends to files by trading day. Nothing else changes. "
        "A recording that has stopped with a problem begins again when it is switched off and on.",
        Recording,
        _record,
        target=lambda parameters: "on" if parameters.on else "off",
        current=lambda store: {"on": feed_settings().record},
    ),
)
