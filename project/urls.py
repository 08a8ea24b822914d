"""Addresses of pages, by the app that answers them."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from control import account_pages, probes, target_pages, views
from control.admin import sockets, system
from control.api import api

# The admin's own login knows no limit to guessing.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

_TO_ACCOUNT = RedirectView.as_view(pattern_name="account")
accounts = [
    path("", account_pages.account, name="account"),
    path("sessions/", account_pages.sessions, name="account_sessions"),
    path("sessions/end/", account_pages.end_sessions, name="account_end_sessions"),
    path("sessions/<int:login_id>/end/", account_pages.end_session, name="account_end_session"),
    path("targets/", target_pages.targets, name="account_targets"),
    path("targets/<int:target_id>/", target_pages.change_target, name="account_change_target"),
    path("tokens/", account_pages.tokens, name="account_tokens"),
    path("tokens/<int:token_id>/revoke/", account_pages.revoke_token, name="account_revoke_token"),
    # allauth's own pages of these: the mail address is an administrator's to set, the rest stands on ours.
    path("email/", _TO_ACCOUNT),
    path("2fa/", _TO_ACCOUNT),
    path("usersessions/", RedirectView.as_view(pattern_name="account_sessions"), name="usersessions_list"),
    path("", include("allauth.account.urls")),
    path("2fa/", include("allauth.mfa.urls")),
    path("3rdparty/", include("allauth.socialaccount.urls")),
    path("", include("allauth.socialaccount.providers.openid_connect.urls")),
]
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("session/token", views.page_token, name="page_token"),
    path("api/v1/", api.urls),
    path("accounts/", include(accounts)),
    path("admin/system/", admin.site.admin_view(system.system_page), name="system"),
    path("admin/connected/", admin.site.admin_view(sockets.who_is_connected_page), name="who_is_connected"),
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/", admin.site.urls),
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", probes.metrics, name="metrics"),
]
