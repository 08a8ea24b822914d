"""The admin's page of the running system: what each component does, what is wrong, and the controls."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache

from control.tokens import page_token


@never_cache
def system_page(request: HttpRequest) -> HttpResponse:
    """The page's frame; the program in it follows `status:components` and posts to the API.

    Raises:
        PermissionDenied: The user may not see the health of the system.
    """
    user = request.user
    if not user.has_perm("control.view_system"):
        raise PermissionDenied
    page: dict[str, Any] = {
        "wds_url": settings.WDS_URL,
        "token": page_token(int(user.pk or 0), request.session.session_key or ""),
        "token_url": reverse("page_token"),
        "csrf_token": get_token(request),
        "login_url": reverse("account_login"),
        "api_url": reverse("api:api-root"),
        "sockets_url": reverse("who_is_connected") if user.has_perm("control.view_sockets") else None,
        "audit_url": reverse("admin:control_auditentry_changelist")
        if user.has_perm("control.view_auditentry")
        else None,
    }
    context = {**admin.site.each_context(request), "title": "System", "page": page, "is_fullwidth": "1"}
    return TemplateResponse(request, "admin/system.html", context)
