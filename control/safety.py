"""What browsers are told about our pages, and the second factor that staff may be asked for."""

from collections.abc import Callable
from typing import Any, Final

from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from control.api.problems import problem
from control.second_factors import owes_second_factor

# What no page of ours uses. Passkeys are made and shown by our own pages alone.
_PERMISSIONS: Final = ", ".join(
    (
        *(
            f"{feature}=()"
            for feature in (
                *("accelerometer", "browsing-topics", "camera", "display-capture", "geolocation"),
                *("gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "serial", "usb"),
                *("screen-wake-lock", "xr-spatial-tracking"),
            )
        ),
        *(f"{feature}=(self)" for feature in ("autoplay", "clipboard-write", "fullscreen")),
        *(f"{feature}=(self)" for feature in ("publickey-credentials-create", "publickey-credentials-get")),
    )
)
# unfold's pages are written over Alpine, which makes functions of attributes, and carry their colours in a style
# element. Its build without eval does not know the expressions that they use.
_ADMIN: Final = {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}
# Swagger's page writes style attributes.
_API_DOCS: Final = {"style-src": [UNSAFE_INLINE]}

_Answer = Callable[[HttpRequest], HttpResponse]


class HeadersMiddleware:
    """Headers that Django has no setting for: which of a browser's powers pages use, and who may load what is ours."""

    def __init__(self, get_response: _Answer) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        response = self._get_response(request)
        response.setdefault("Permissions-Policy", _PERMISSIONS)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response


class ContentSecurityMiddleware(CSPMiddleware):
    """The content security policy of the settings, with what the admin and the API's own page need beyond it."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """The policy of one response."""
        parts = super().get_policy_parts(request, response, report_only)
        if request.path.startswith(reverse("admin:index")):
            parts.update = _with(parts.update, _ADMIN)
        elif request.path == reverse("api:openapi-view"):
            parts.update = _with(parts.update, _API_DOCS)
        return parts


class SecondFactorMiddleware:
    """Sends staff without a second factor to the page where they get one, while `REQUIRE_MFA` asks for it."""

    def __init__(self, get_response: _Answer) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """The way to the account's page instead, for all but the pages where one is set up, and probes."""
        path = request.path
        # A token would go on where its maker may not.
        to_set_up = path.startswith(reverse("account")) and not path.startswith(
            (reverse("account_tokens"), reverse("account_targets"))
        )
        if to_set_up or path in {"/healthz", "/readyz"} or not owes_second_factor(request):
            return None
        if request.path.startswith("/api/"):
            return problem(403, "Staff need a second factor: set one up on the page of your account.")
        messages.warning(request, "Your role asks for a second factor: set up an authenticator app or a passkey.")
        return redirect("account")


def _with(update: Any, more: dict[str, list[str]]) -> dict[str, list[str]]:
    return {**(update or {}), **more}
