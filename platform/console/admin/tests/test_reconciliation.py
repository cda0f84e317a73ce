"""Differences, through the pages of the staff admin."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metering.models import Difference, Reconciliation
from tenants.scope import staff_scope


@pytest.fixture
def differences(acme, rival):
    """An open one of Acme's and a closed one of Rival's."""
    now = timezone.now()
    today = now.date()
    with staff_scope():
        run = Reconciliation.objects.create(day=today, started_at=now, tenants=2)
        return [
            Difference.objects.create(
                run=run,
                tenant=who.tenant,
                day=today,
                kind="lost",
                action=action,
                stream="s",
                ms=5,
                open=open_,
                found_at=now,
            )
            for who, action, open_ in ((acme, "raised", True), (rival, "replayed", False))
        ]


def test_differences_are_listed_with_the_number_to_close_them_by(staff, differences):
    client = Client()
    client.force_login(staff)
    for difference, state in zip(differences, ("Open", "Closed"), strict=True):
        for address in (
            reverse("admin:metering_difference_changelist") + f"?open__exact={int(difference.open)}",
            reverse("admin:metering_difference_change", args=[difference.pk]),
        ):
            rows = client.get(address).content.decode().split("<main")[-1]
            assert f"#{difference.pk}" in rows
            assert re.search(rf">\s*{state}\s*<", rows)
