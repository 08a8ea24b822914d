"""What docs/api.md tells people to type is done as it stands there."""

import json
import shlex
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pytest_django import Settings

from control.api import api, examples
from control.roles import Role
from project.env import BASE_DIR
from tests.control.api_callers import Api
from tests.rights import user_in

_BASE = "http://127.0.0.1:8000/api/v1"


def _lines() -> list[str]:
    """The lines for a shell, each whole; one that goes on has its quotes open, or ends in a backslash."""
    text = (BASE_DIR / "docs" / "api.md").read_text(encoding="utf-8")
    lines = "".join(block.split("\n", 1)[1] for block in text.split("```")[1::2]).splitlines()
    whole = [""]
    for line in lines:
        whole[-1] += line
        if whole[-1].count("'") % 2 == 0:
            whole.append("")
    return [line for line in whole if line]


def _call(line: str) -> tuple[str, str, Any, dict[str, str]]:
    """Method, path, body and headers of a `curl` line."""
    words = iter(shlex.split(line.replace("$API", _BASE))[1:])
    method, path, body, headers = "", "", None, {}
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-X":
            method = next(words)
        elif word == "--json":
            body = json.loads(next(words))
        else:
            path = word.removeprefix(_BASE)
    assert headers.pop("Authorization") == "Bearer $TOKEN"
    return method or ("POST" if body is not None else "GET"), path, body, headers


@pytest.mark.django_db
@pytest.mark.usefixtures("market")
def test_every_line_of_the_documentation_works(settings: Settings) -> None:
    settings.MASSIVE_FEED = "127.0.0.1:9"
    caller = Api(user_in(Role.ADMINISTRATOR))
    lines = [line for line in _lines() if line.startswith("curl ")]
    assert len(lines) > 30
    for line in lines:
        method, path, body, headers = _call(line)
        answer = caller.ask(method, path, body, **headers)
        # No vendor, no listener and no gathered state are here; whatever else there is, is answered.
        without = path.startswith(("/market_data", "/operations/", "/system"))
        assert answer.status_code in ({200, 409, 503, 504} if without else {200, 201, 204}), (line, answer.content)


def test_every_example_is_what_its_schema_says() -> None:
    description = api.get_openapi_schema()
    components = {"components": description["components"]}
    shown = set()
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            contents = [answer.get("content", {}) for answer in operation["responses"].values()]
            contents.append(operation.get("requestBody", {}).get("content", {}))
            for content in (one["application/json"] for one in contents if "application/json" in one):
                schema = content["schema"]
                named = description["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
                example = content.get("example", named.get("example"))
                if example is not None:
                    shown.add(f"{method.upper()} {path.removeprefix('/api/v1')}")
                    Draft202012Validator({**schema, **components}).validate(example)
            if "requestBody" in operation:
                assert f"{method.upper()} {path.removeprefix('/api/v1')}" in shown
    assert shown >= examples.ANSWERS.keys()
