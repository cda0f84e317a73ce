"""What a customer is told by e-mail about their account. What was told is in the audit log as well."""

from __future__ import annotations

import logging
from functools import partial

from django.core.mail import send_mail
from django.db import transaction
from kombu.exceptions import OperationalError

from config.celery import app
from metering.models import Account
from tenants.models import Tenant

TASK = "metering.notify"
log = logging.getLogger(__name__)


def tell(account: Account, tenant: Tenant, about: str, text: str) -> None:
    """Once the transaction is through; nobody, where the account has no address."""
    if account.email:
        subject = f"{tenant.name}: {about}"
        transaction.on_commit(partial(_hand_over, account.email, subject, text), robust=True)


def send(address: str, subject: str, text: str) -> None:
    send_mail(subject, text, None, [address])


def _hand_over(address: str, subject: str, text: str) -> None:
    """To a task: a mail server that is slow holds nothing up here. A broker that is away costs the mail."""
    try:
        app.send_task(TASK, args=[address, subject, text], retry=False, ignore_result=True)
    except (OSError, OperationalError) as error:
        log.warning("%s: the broker did not take an e-mail: %s", TASK, type(error).__name__)
