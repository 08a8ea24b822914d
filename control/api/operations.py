"""Operations over the API: what can be done to the running system, and doing it; the system page asks here, too."""

import inspect
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from django.http import HttpRequest, JsonResponse
from ninja import Router, Schema, Status
from ninja.params.functions import Body
from pydantic import Field

from control.api.audit import EntryOut
from control.api.auth import needs, token_of, user_of
from control.api.problems import PROBLEM_TYPE, Problem
from control.models import AuditEntry
from control.models.tokens import Scope
from control.operations.operation import Operation
from control.operations.performing import perform
from control.operations.registry import OPERATIONS
from control.roles import check
from processors.store import default_store
from widgets.visitors.origins import request_address

router = Router(auth=needs(Scope.OPERATE))

_VIEW_SYSTEM: Final = "control.view_system"
_STATUS: Final = {
    AuditEntry.State.DONE: HTTPStatus.OK,
    AuditEntry.State.FAILED: HTTPStatus.CONFLICT,
    AuditEntry.State.UNANSWERED: HTTPStatus.GATEWAY_TIMEOUT,
}


class ChoiceOut(Schema):
    """A value that a parameter can have now, and what people call it."""

    value: str
    label: str


class OperationOut(Schema):
    """One operation: post its parameters to `/operations/{name}`."""

    name: str
    subject: str = Field(description="What it is about, such as `listener`.")
    title: str
    confirm: str = Field(description="What will happen, and to whom.")
    danger: bool = Field(description="Whether something is lost or interrupted by it.")
    permission: str = Field(description="Who has it may.")
    permitted: bool = Field(description="Whether you may.")
    patience_s: float = Field(description="How long its answer is waited for at most.")
    parameters: dict[str, Any] = Field(description="The JSON schema of what is posted.")
    choices: dict[str, list[ChoiceOut]] = Field(
        description="By parameter, the values that it can have now. Where you may not: none."
    )
    current: dict[str, Any] = Field(description="By parameter, the value that stands now. Where you may not: none.")


class OperationProblem(Problem):
    """Why an operation was not done, or that nobody answered; `entry` is what the audit log says of it."""

    entry: EntryOut


@router.get("", response={200: list[OperationOut], 403: Problem})
def list_operations(request: HttpRequest) -> Any:
    """Everything that can be done to the running system, for who may see it."""
    user = user_of(request)
    check(user, _VIEW_SYSTEM)
    return [_described(operation, user.has_perm(operation.permission)) for operation in OPERATIONS.values()]


def _described(operation: Operation[Any], permitted: bool) -> dict[str, Any]:
    store = default_store()
    choices = operation.choices(store) if operation.choices is not None and permitted else {}
    return {
        "name": operation.name,
        "subject": operation.subject,
        "title": operation.title,
        "confirm": operation.confirm,
        "danger": operation.danger,
        "permission": operation.permission,
        "permitted": permitted,
        "patience_s": operation.patience_s,
        "parameters": operation.parameters.json_schema(),
        "choices": {name: [choice._asdict() for choice in values] for name, values in choices.items()},
        "current": operation.current(store) if operation.current is not None and permitted else {},
    }


def _endpoint(operation: Operation[Any]) -> Callable[..., Any]:
    def post(request: HttpRequest, body: Any) -> Any:
        via = AuditEntry.Via.API if token_of(request) is not None else AuditEntry.Via.BROWSER
        entry = perform(operation.name, user_of(request), via, request_address(request), body)
        status = _STATUS[AuditEntry.State(entry.state)]
        return Status(int(status), entry) if status is HTTPStatus.OK else _problem(status, entry)

    # Each has its own parameters, from which ninja reads and describes the body.
    empty: Any = operation.parameters() if _needs_nothing(operation) else ...
    of_the_body: Any = Body(empty)
    post.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # a function's own
        [
            inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=HttpRequest),
            inspect.Parameter(
                "body",
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=operation.parameters,
                default=of_the_body,
            ),
        ]
    )
    post.__annotations__ = {"request": HttpRequest, "body": operation.parameters}
    post.__doc__ = f"{operation.confirm}\n\nFor who has the permission `{operation.permission}`."
    post.__name__ = operation.name.replace(".", "_")
    return post


def _needs_nothing(operation: Operation[Any]) -> bool:
    return not any(field.is_required() for field in operation.parameters.model_fields.values())


def _example(operation: Operation[Any]) -> dict[str, Any]:
    fields = operation.parameters.model_fields.items()
    return {name: field.examples[0] for name, field in fields if field.examples}


def _problem(status: HTTPStatus, entry: AuditEntry) -> JsonResponse:
    body = OperationProblem(
        title=status.phrase, status=status, detail=entry.result, entry=EntryOut.model_validate(entry)
    )
    return JsonResponse(body.model_dump(mode="json"), status=status, content_type=PROBLEM_TYPE)


for _operation in OPERATIONS.values():
    router.add_api_operation(
        f"/{_operation.name}",
        ["POST"],
        _endpoint(_operation),
        response={200: EntryOut, 403: Problem, 409: OperationProblem, 422: Problem, 504: OperationProblem},
        summary=f"{_operation.subject.capitalize()}: {_operation.title.lower()}",
        operation_id=f"operate_{_operation.name.replace('.', '_')}",
        openapi_extra={"requestBody": {"content": {"application/json": {"example": _example(_operation)}}}},
    )
