"""Notes that a stream has ended and will need its receipt, in the transaction that logs it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from metering.models import ReceiptDue
from metering.receipts import keys

SOON = timedelta(seconds=5)  # the gateway asks for a receipt itself, and posting takes about a second


def expect(tenant_id: UUID, request_ids: Iterable[str]) -> None:
    """These streams have ended. In the tenant's scope, in the transaction of the request log."""
    if keys.signers():
        due_at = timezone.now() + SOON
        # In order, so that two who note the same streams do not wait for each other.
        ended = sorted(set(request_ids))
        due = [ReceiptDue(tenant_id=tenant_id, request_id=one, due_at=due_at) for one in ended]
        ReceiptDue.objects.bulk_create(
            due, update_conflicts=True, unique_fields=["tenant", "request_id"], update_fields=["due_at"]
        )
