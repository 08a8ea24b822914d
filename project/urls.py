"""Addresses of pages, by the app that answers them."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from control import views
from control.admin import sockets
from control.api import api

# The admin's own login knows no limit to guessing.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("session/token", views.page_token, name="page_token"),
    path("api/v1/", api.urls),
    path("accounts/", include("allauth.account.urls")),
    path("admin/connected/", admin.site.admin_view(sockets.who_is_connected_page), name="who_is_connected"),
    path("admin/", admin.site.urls),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
