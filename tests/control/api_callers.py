"""Who calls the API in tests, and with what."""

import json
from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from control.models import ApiToken
from tests.processors.feeding import at

SCANNER = {"slug": "mine", "name": "Mine", "where": "price > 5", "order_by": "pct_change", "columns": ["price"]}
NOW = at("2026-03-02 10:00:00")
LEVEL = {"symbol": "AAPL", "price": 123.45, "direction": "above"}


class Api:
    """A caller: everybody's API with or without a token."""

    def __init__(self, user: User | None = None) -> None:
        self.user = user
        self.headers = {"Authorization": f"Bearer {ApiToken.issue(user)[1]}"} if user is not None else {}

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status, and the answer's content."""
        response = Client().generic(
            method,
            f"/api/v1{path}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers=self.headers,
        )
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"
            problem = response.json()
            assert problem["status"] == response.status_code
            assert problem["title"] == HTTPStatus(response.status_code).phrase
            assert problem["detail"]
        return response.status_code, response.json() if response.content else None
