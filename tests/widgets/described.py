"""Messages held against docs/asyncapi.json, with nothing in them that it does not name."""

import re
from functools import cache
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from widgets.protocol.asyncapi import as_json

# What the vendor's articles hold beside what is looked at goes out as it came.
_OPEN = frozenset({"Article"})


@cache
def described() -> Any:
    """The description."""
    return msgspec.json.decode(as_json())


@cache
def _closed() -> Any:
    """Its components, where an object has no other members than those that are named."""
    components = msgspec.json.decode(as_json())["components"]
    for name, schema in components["schemas"].items():
        if schema.get("type") == "object" and "properties" in schema and name not in _OPEN:
            schema["additionalProperties"] = False
    return components


def check(name: str, value: Any) -> None:
    """Hold a value against a message or a schema of that name.

    Raises:
        jsonschema.ValidationError: It is no such value.
    """
    components = _closed()
    schema = (
        components["messages"][name]["payload"]
        if name in components["messages"]
        else {"$ref": f"#/components/schemas/{name}"}
    )
    Draft202012Validator({**schema, "components": components}).validate(value)


@cache
def _by_status() -> dict[str, str]:
    return {
        schema["properties"]["status"]["enum"][0]: name
        for name, schema in described()["components"]["schemas"].items()
        if "enum" in schema.get("properties", {}).get("status", {})
    }


@cache
def _enveloped() -> dict[str, re.Pattern[str]]:
    schemas = described()["components"]["schemas"].items()
    return {
        name: re.compile(schema["allOf"][1]["properties"]["feed"]["pattern"])
        for name, schema in schemas
        if name.startswith("Enveloped")
    }


def name_of(feed: str) -> str:
    """Which of the described feeds one is, such as `Board`."""
    (name,) = (name for name, pattern in _enveloped().items() if pattern.match(feed))
    return name.removeprefix("Enveloped")


def check_heard(message: Any, feed: str = "") -> str:
    """Hold a message of the server against what is described.

    Args:
        message: As it was heard.
        feed: Whose messages come bare, if any do.

    Returns:
        The description's name of it.

    Raises:
        jsonschema.ValidationError: It is not as described.
    """
    if isinstance(message, dict) and "status" in message:
        name = _by_status()[message["status"]]
    elif isinstance(message, dict) and message.keys() == {"cache", "data"}:
        # What the answer carries is what a snapshot of that feed carries.
        check(
            f"Enveloped{name_of(message['cache'])}",
            {"feed": message["cache"], "seq": 1, "type": "snapshot", "data": message["data"]},
        )
        name = "Cached"
    elif isinstance(message, dict) and "seq" in message and "data" in message:
        name = f"Enveloped{name_of(message['feed'])}"
    else:
        name = name_of(feed)
    check(name, message)
    return name
