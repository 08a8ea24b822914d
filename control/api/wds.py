"""The description of `/ws` for programs that are made from it."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from widgets.protocol.asyncapi import as_json

router = Router()

_ASYNCAPI = "application/vnd.aai.asyncapi+json;version=3.0.0"


@router.get("/asyncapi.json", response={200: None})
def describe(request: HttpRequest) -> HttpResponse:
    """The protocol of `/ws` as AsyncAPI 3.0, with the JSON Schema of every message."""
    return HttpResponse(as_json(), content_type=_ASYNCAPI)
