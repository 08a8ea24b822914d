"""Versions of what the API shows: a row has the ETag of its answer, and is changed only as the one who changes it saw
it, if he says which that was (`If-Match`)."""

from hashlib import blake2b
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest
from django.utils.http import parse_etags
from ninja import Schema
from ninja.errors import HttpError
from ninja.renderers import JSONRenderer

_renderer = JSONRenderer()


def etag_of(content: bytes) -> str:
    """The strong ETag of an answer's content."""
    return f'"{blake2b(content, digest_size=12).hexdigest()}"'


def check_version(request: HttpRequest, shape: type[Schema], row: Any) -> None:
    """Refuse to change what is not any more as the caller saw it.

    Args:
        request: The call; without `If-Match` nothing is asked.
        shape: How the row is shown to who reads it.
        row: The row, locked until it is changed.

    Raises:
        HttpError: 412: somebody else has changed it.
    """
    wanted = request.headers.get("If-Match", "").strip()
    if wanted in ("", "*"):
        return
    shown = _renderer.render(request, shape.from_orm(row).model_dump(), response_status=HTTPStatus.OK)
    # What is weak (W/) says nothing of the very bytes, and is never a match here.
    if etag_of(shown if isinstance(shown, bytes) else str(shown).encode()) not in parse_etags(wanted):
        raise HttpError(
            HTTPStatus.PRECONDITION_FAILED,
            "Somebody has changed it since: read it again, and make your change to what it is now.",
        )
