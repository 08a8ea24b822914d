"""The API's description (OpenAPI 3.1): what ninja knows of endpoints, and what holds for all of them."""

from http import HTTPStatus
from typing import Any, Final

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from control.api import examples
from control.api.auth import Bearer
from control.api.problems import PROBLEM_TYPE, Problem

_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/Problem"}}
_ROOT: Final = "/api/v1"
_TEXT: Final = {"type": "string"}
_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: "The body is no JSON, or too large.",
    HTTPStatus.UNAUTHORIZED: "There is no token that is good, and no login.",
    HTTPStatus.FORBIDDEN: "The user, or the token, may not do this.",
    HTTPStatus.NOT_FOUND: "There is no such thing, or it is not yours to see.",
    HTTPStatus.CONFLICT: "It cannot be done as things stand; `detail` says why.",
    HTTPStatus.PRECONDITION_FAILED: "It is not any more what `If-Match` names.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something in the request cannot be used; `errors` says what is wrong with which.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many calls; `Retry-After` says for how long to wait.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database, the cache, the broker or the vendor cannot be reached.",
}
# Of every endpoint.
_ALWAYS: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_HEADERS: Final[dict[str, Any]] = {
    "RateLimit": {"description": "Calls that are left, and the seconds until they are all back.", "schema": _TEXT},
    "RateLimit-Policy": {"description": "Calls (q) in a window of seconds (w), by limit.", "schema": _TEXT},
}
_ETAG: Final = {"ETag": {"description": "The version of what is shown, for conditional calls.", "schema": _TEXT}}
_RETRY: Final = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_IF_NONE_MATCH: Final = {
    "in": "header",
    "name": "If-None-Match",
    "schema": _TEXT,
    "required": False,
    "description": "An `ETag`: if it is still that, the answer is an empty 304.",
}
_IF_MATCH: Final = {
    "in": "header",
    "name": "If-Match",
    "schema": _TEXT,
    "required": False,
    "description": "An `ETag`: if it is not that any more, nothing is changed (412).",
}


class DescribedAPI(NinjaAPI):
    """An API that says of each endpoint what the caller has to show, what it may answer, and by which headers."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """The description; arguments as of ninja."""
        schema = super().get_openapi_schema(**options)
        schema["components"]["schemas"]["Problem"] = Problem.json_schema()
        scopes = self._scopes()
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                _complete(method.upper(), operation, scopes)
                _exemplify(f"{method.upper()} {path.removeprefix(_ROOT)}", operation)
        return schema

    def _scopes(self) -> dict[tuple[str, str], str]:
        """What a token has to be good for, by operation's id and method."""
        return {
            (operation.operation_id or self.get_openapi_operation_id(operation), method): auth.scope_for(method).value
            for router in self._get_bound_routers()
            for view in router.path_operations.values()
            for operation in view.operations
            for method in operation.methods
            for auth in operation.auth_callbacks
            if isinstance(auth, Bearer)
        }


def _complete(method: str, operation: dict[str, Any], scopes: dict[tuple[str, str], str]) -> None:
    answers = operation["responses"]
    if (scope := scopes.get((operation["operationId"], method))) is not None:
        operation["security"] = [{"Bearer": [scope]}, {"Login": []}]
        operation["x-scope"] = scope
    usual = [*_ALWAYS, HTTPStatus.BAD_REQUEST] if "requestBody" in operation else [*_ALWAYS]
    for status in usual:
        answers.setdefault(int(status), {})
    for status, answer in answers.items():
        if status >= HTTPStatus.BAD_REQUEST:
            # What an endpoint says of its own problems stays, under the type that they have.
            declared = answer.get("content", {}).get("application/json", _PROBLEM)
            words = _WORDS.get(HTTPStatus(status), HTTPStatus(status).phrase)
            answer |= {"description": words, "content": {PROBLEM_TYPE: declared}}
        answer["headers"] = {**answer.get("headers", {}), **_HEADERS}
    for status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        answers[status]["headers"] |= _RETRY
    if method == "GET":
        answers[HTTPStatus.OK]["headers"] |= _ETAG
        answers[int(HTTPStatus.NOT_MODIFIED)] = {"description": "It is still what `If-None-Match` names."}
        operation["parameters"].append(_IF_NONE_MATCH)
    if HTTPStatus.PRECONDITION_FAILED in answers:
        operation["parameters"].append(_IF_MATCH)
    operation["responses"] = dict(sorted(answers.items()))


def _exemplify(name: str, operation: dict[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get("application/json")
        if status >= HTTPStatus.BAD_REQUEST or content is None:
            continue
        of_schema = examples.OF_SCHEMAS.get(content["schema"].get("$ref", "").rpartition("/")[2])
        example = examples.ANSWERS.get(name, of_schema)
        if example is not None:
            content["example"] = example
