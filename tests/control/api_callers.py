"""Who calls the API in tests, and with what."""

import json
from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from control.models import ApiToken
from control.models.tokens import Scope
from tests.processors.feeding import at

SCANNER = {"slug": "mine", "name": "Mine", "where": "price > 5", "order_by": "pct_change", "columns": ["price"]}
NOW = at("2026-03-02 10:00:00")
LEVEL = {"symbol": "AAPL", "price": 123.45, "direction": "above"}


class Api:
    """A caller: everybody's API with or without a token; one that is good for everything, unless scopes are named."""

    def __init__(self, user: User | None = None, *scopes: str) -> None:
        self.user = user
        self.headers: dict[str, str] = {}
        # One for all calls: a client's first costs more than a hundred others.
        self._client = Client()
        if user is not None:
            token = ApiToken.issue(user, scopes=scopes or Scope.values)[1]
            self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer, a response of Django's; a problem is one as it should be."""
        response = self._client.generic(
            method,
            f"/api/v1{path}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers=self.headers | headers,
        )
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"
            problem = json.loads(response.content)
            assert problem["status"] == response.status_code
            assert problem["title"] == HTTPStatus(response.status_code).phrase
            assert problem["detail"]
        return response

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status, and the answer's content."""
        response = self.ask(method, path, body)
        return response.status_code, json.loads(response.content) if response.content else None
