"""Pages and probes of the service control plane."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from control.feed_patterns import allows
from control.models import FeedGrant, Scanner
from control.tokens import page_token as make_page_token
from processors.fields import FIELDS


def _token(request: HttpRequest) -> str:
    return make_page_token(int(request.user.pk or 0), request.session.session_key or "")


@require_GET
@login_required
@never_cache
def dashboard(request: HttpRequest) -> HttpResponse:
    """The dashboard for whoever is logged in, with the WebSocket's address and a token for its handshake."""
    user_id = int(request.user.pk or 0)
    patterns = FeedGrant.objects.patterns_of([user_id])[user_id]
    boards = (
        Scanner.objects.visible_to(request.user)
        .filter(enabled=True)
        .values("slug", "name", "description", "columns", "order_by", "descending", "limit")
    )
    page: dict[str, Any] = {
        "wds_url": settings.WDS_URL,
        "token": _token(request),
        "token_url": reverse("page_token"),
        "csrf_token": get_token(request),
        "login_url": reverse("account_login"),
        "logout_url": reverse("account_logout"),
        "account_url": reverse("account"),
        "admin_url": reverse("admin:index") if request.user.is_staff else None,
        "user": request.user.get_username(),
        "version": settings.VERSION,
        "boards": [board for board in boards if allows(patterns, f"scanners:{board['slug']}")],
        # So that the page says it, instead of staying empty.
        "may_read_nothing": not patterns,
        "fields": {
            field.name: {"label": field.label, "unit": field.unit, "description": field.description} for field in FIELDS
        },
    }
    return render(request, "dashboard.html", {"page": page})


@require_POST
@never_cache
def page_token(request: HttpRequest) -> HttpResponse:
    """A fresh token for a page that reconnects."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "You are not logged in."}, status=401)
    return JsonResponse({"token": _token(request)})
