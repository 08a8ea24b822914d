"""Addresses of pages, by the app that answers them."""

from django.contrib import admin
from django.urls import include, path

from control import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("session/token", views.page_token, name="page_token"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
