"""Every address of the gateway's HTTP side."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from console import pages
from metering.payments import webhooks

admin.autodiscover()

handler500 = pages.failed

urlpatterns = [
    path("", pages.home, name="home"),
    path("admin/", admin.site.urls),
    path("webhooks/stripe", webhooks.receive),
    path("", include("gateway.urls")),
]
