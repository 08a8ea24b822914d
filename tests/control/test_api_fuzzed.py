"""The API against its own description: whatever fits it and whatever does not, sent to every endpoint (schemathesis).

Nothing is answered by a server error, nothing in another shape than described, nothing without a token.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import schemathesis
from django.test.client import ClientHandler
from hypothesis import HealthCheck, Phase, settings
from pytest_django import Settings
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from control.api import api
from control.models import Alert
from control.roles import Role
from processors.store import Store
from tests.control.api_callers import Api
from tests.control.test_api_roles import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("market")]

load_all_checks()
_CONFIG = schemathesis.Config.from_dict(
    {
        "phases": {"coverage": {"enabled": False}},
        # Nobody publishes a state here, and there is neither a vendor nor a listener: that is said, and described.
        "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 503, 504]}},
    }
)
_schema = schemathesis.openapi.from_dict(api.get_openapi_schema(), config=_CONFIG)
_handler = ClientHandler()
_ANSWERS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def _application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The project under WSGI, as Django's own test client calls it: within the test's transaction."""
    response: Any = _handler(environ)
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]


_schema.app = _application


@pytest.fixture
def desk(settings: Settings) -> Desk:
    """An administrator with one thing of each kind; no vendor, and as many calls as it takes."""
    settings.MASSIVE_FEED, settings.API_CALLS_A_MINUTE = "127.0.0.1:9", 1_000_000
    return Desk(Role.ADMINISTRATOR)


@_schema.parametrize()
@settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_is_answered_as_described(case: schemathesis.Case[Any], desk: Desk, market: Store) -> None:
    Alert.objects.get_or_create(
        id="1", defaults={"rule": "halts", "kind": "halt", "symbol": "A", "at": 1, "trading_day": "2026-03-02"}
    )
    headers = Api(desk.user).headers
    # What fits may still be refused for what it says: a field that there is none of, a name that is taken.
    case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance, unsupported_method])
    if named := case.path_parameters.keys() & desk.values.keys():
        case.path_parameters |= {name: desk.values[name] for name in named}
        case.call_and_validate(headers=headers, checks=_ANSWERS)
