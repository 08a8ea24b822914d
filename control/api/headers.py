"""What the API's answers say beside their content: its version (ETag), how long it is kept, how many calls are left."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers

from control.api import limits
from control.api.versions import etag_of

_SAFE = frozenset({"GET", "HEAD"})


class ApiHeadersMiddleware:
    """Puts headers on the answers under `/api/`; whoever has an answer's version already gets a 304 (RFC 9110)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        response = self._get_response(request)
        if not request.path.startswith("/api/"):
            return response
        response = _versioned(request, response)
        limits.put_headers(request, response)
        patch_vary_headers(response, ("Authorization", "Cookie"))
        # Kept by the caller alone, who asks each time whether it still stands.
        response.setdefault("Cache-Control", "private, no-cache")
        return response


def _versioned(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The answer with its version, or one that says that nothing has changed."""
    if response.streaming or not 200 <= response.status_code < 300 or not response.content:
        return response
    if request.method in _SAFE or request.method == "PATCH":
        response.setdefault("ETag", etag_of(response.content))
    if request.method in _SAFE:
        return get_conditional_response(request, etag=response["ETag"], response=response) or response
    return response
