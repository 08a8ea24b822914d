"""The protocol of `/ws` as AsyncAPI 3.0, made of the types that the code uses: docs/asyncapi.json, and served."""

import inspect
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, get_args

import msgspec

from widgets.protocol import Cached, Request, Status, Unknown
from widgets.protocol.examples import EXAMPLES, example
from widgets.protocol.feeds import FEEDS, Feed
from widgets.visitors import limits

Json = dict[str, Any]

_DESCRIPTION: Final = (
    "Boards, quotes, alerts, bars, news and events of the market over one WebSocket. Requests and messages are JSON "
    "texts. docs/wds.md explains it."
)
# By close code, why the server ends a socket, and what to do about it.
CLOSE_CODES: Final = {
    1002: ("What came is no WebSocket frame as it should be.", "Mend the client."),
    1007: ("A text was not UTF-8.", "Mend the client."),
    limits.TOO_LARGE: ("A message was over 64 KB.", "Send smaller ones."),
    limits.BROKEN: ("The server's fault; its log says more.", "Connect again, with a growing pause."),
    limits.RESTART: ("The server stops.", "Connect again after what `reconnect` said, else with a growing pause."),
    limits.FULL: ("The process has all the sockets that it can bear.", "Connect again, with a growing pause."),
    limits.NOT_AUTHORISED: ("Not authorised, or no longer: see the reason.", "Get another token, or log in."),
    limits.TOO_MANY: ("Too much was asked for: see the reason.", "Ask for less, then connect again."),
}
_REQUESTS: Final = tuple(request for request in get_args(Request) if request is not Unknown)
# What is a message by itself; the others are what messages carry.
_MESSAGES: Final = (*_REQUESTS, *get_args(Status), Cached)
_ANSWERS: Final = {
    "auth": ("Authorized", "InvalidKey", "Error"),
    "subscribe": ("Subscribed", "Forbidden", "Error", "Unauthorized"),
    "unsubscribe": ("Unsubscribed", "Error", "Unauthorized"),
    "get": ("Cached", "Forbidden", "Error", "Unauthorized"),
    "ping": ("Pong", "Unauthorized"),
}
_NOTICES: Final = ("Interrupted", "Resumed", "Reconnect", "Forbidden", "Error", "InvalidAction")
_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): ", re.MULTILINE)


def document() -> Json:
    """The description, as plain values."""
    schemas = _schemas()
    feeds = {feed.name: _messages_of(feed) for feed in FEEDS}
    messages = {
        kind.__name__: {
            "name": kind.__name__,
            "summary": schemas[kind.__name__]["description"],
            "payload": _schema(kind.__name__),
            "examples": [{"payload": example(kind)}],
        }
        for kind in _MESSAGES
    }
    for of_feed in feeds.values():
        messages |= of_feed
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tapewatch WDS", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "tapewatch": {
                "host": "{host}",
                "protocol": "wss",
                "description": "ws:// where no TLS stands before it.",
                "variables": {"host": {"default": "localhost:8000"}},
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("token", "login")],
            }
        },
        "channels": {
            "wds": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
                "x-close-codes": {str(code): f"{why} {what_to_do}" for code, (why, what_to_do) in CLOSE_CODES.items()},
            }
        },
        "operations": _operations(feeds),
        "components": {
            "schemas": schemas,
            "messages": messages,
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "password",
                    "description": "A token of `manage.py issue_token`, as `api_key` of the request `auth`.",
                },
                "login": {
                    "type": "httpApiKey",
                    "in": "cookie",
                    "name": "sessionid",
                    "description": "The cookie of a login, from a page of the same origin; no `auth` is needed.",
                },
            },
        },
    }


def _operations(feeds: dict[str, Json]) -> Json:
    """What the server receives and sends, as the server sees it."""
    received = {
        action: {
            "action": "receive",
            "channel": {"$ref": "#/channels/wds"},
            "messages": _of_channel([action.capitalize()]),
            "reply": {"channel": {"$ref": "#/channels/wds"}, "messages": _of_channel(answers)},
        }
        for action, answers in _ANSWERS.items()
    }
    sent = {
        f"send{name}": {
            "action": "send",
            "channel": {"$ref": "#/channels/wds"},
            "summary": summary,
            "messages": _of_channel(names),
        }
        for name, summary, names in (
            *((feed.name, feed.meaning, feeds[feed.name]) for feed in FEEDS),
            ("Notice", "What the server says unasked, or of a request that is none.", _NOTICES),
        )
    }
    return received | sent


def _of_channel(names: Iterable[str]) -> list[Json]:
    return [{"$ref": f"#/channels/wds/messages/{name}"} for name in names]


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, Json]:
    """Every type as JSON Schema, and every feed's messages in their envelope."""
    _, schemas = msgspec.json.schema_components(EXAMPLES, ref_template="#/components/schemas/{name}")
    described = {kind.__name__: kind for kind in EXAMPLES if isinstance(kind, type)}
    for name, schema in schemas.items():
        _describe(schema, described[name])
        if described[name] not in _MESSAGES:
            # The others have theirs as messages.
            schema["examples"] = [example(described[name])]
    return schemas | {f"Enveloped{feed.name}": _enveloped(feed) for feed in FEEDS}


def _describe(schema: Json, kind: type) -> None:
    """Take descriptions from a type's docstring: what it says of attributes belongs to these."""
    text, _, attributes = inspect.getdoc(kind).partition("\n\nAttributes:\n")  # type: ignore[union-attr]
    schema["description"] = " ".join(text.split())
    _, *pairs = _ATTRIBUTE.split(attributes)
    for name, meaning in zip(pairs[::2], pairs[1::2], strict=True):
        schema["properties"][name]["description"] = " ".join(meaning.split())


def _enveloped(feed: Feed) -> Json:
    """The envelope's schema, closer: what a feed's types of messages carry."""
    kinds = _kinds(feed)
    carried = [kind | None if name == "snapshot" else kind for name, kind in kinds.items()]
    data, _ = msgspec.json.schema_components(carried, ref_template="#/components/schemas/{name}")
    return {
        "title": f"Enveloped{feed.name}",
        "description": f"{feed.meaning} In an envelope; a snapshot is null where there is nothing yet.",
        "allOf": [
            _schema("Envelope"),
            {"properties": {"feed": {"pattern": f"^{feed.names}$"}}},
            {
                "oneOf": [
                    {"properties": {"type": {"const": kind}, "data": schema}}
                    for kind, schema in zip(kinds, data, strict=True)
                ]
            },
        ],
    }


def _kinds(feed: Feed) -> Json:
    """What a feed's messages of each type carry."""
    kinds = {"snapshot": feed.snapshot, "update": feed.update}
    return kinds if feed.delta is None else kinds | {"delta": feed.delta}


def _messages_of(feed: Feed) -> dict[str, Json]:
    """A feed's messages, bare and in an envelope."""
    (bare,), _ = msgspec.json.schema_components([feed.update], ref_template="#/components/schemas/{name}")
    enveloped = f"Enveloped{feed.name}"
    shared = {"summary": feed.meaning, "x-feed": feed.address}
    return {
        feed.name: {"name": feed.name, **shared, "payload": bare, "examples": [{"payload": example(feed.update)}]},
        enveloped: {
            "name": enveloped,
            **shared,
            "payload": _schema(enveloped),
            "examples": [
                {"payload": {"feed": feed.example, "seq": seq, "type": kind, "data": example(carried)}}
                for seq, (kind, carried) in enumerate(_kinds(feed).items(), 1)
                # Most feeds carry the same in both.
                if kind != "update" or feed.update != feed.snapshot
            ],
        },
    }


@cache
def as_json() -> bytes:
    """The description, as it is served."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"
