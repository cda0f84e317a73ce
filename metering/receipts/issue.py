"""Writes receipts: one for each stream, and another whenever what is billed of it has changed."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from metering.models import Receipt, ReceiptHead
from metering.receipts import body, keys
from metering.receipts.body import Place, Statement
from tenants.scope import tenant_scope


def issue(tenant_id: UUID, statement: Statement) -> Receipt:
    """The receipt of a stream that has none yet. Of one that has, its latest: whoever comes second has heard
    no more than the ledger has."""
    return _issue(tenant_id, statement, revise=False)


def revise(tenant_id: UUID, statement: Statement) -> Receipt:
    """The latest receipt of a stream, which is a new one if the one before says something else."""
    return _issue(tenant_id, statement, revise=True)


def latest(tenant_id: UUID, request_id: str) -> Receipt | None:
    with tenant_scope(tenant_id):
        return _latest(request_id)


def _issue(tenant_id: UUID, statement: Statement, *, revise: bool) -> Receipt:
    signer = keys.in_use()
    with tenant_scope(tenant_id):
        keys.publish()
        ReceiptHead.objects.get_or_create(tenant_id=tenant_id)
        head = ReceiptHead.objects.select_for_update().get(tenant_id=tenant_id)
        before = _latest(statement.request_id)
        if before is not None and (not revise or body.billed_by(before.body) == body.billed(statement.parts)):
            return before
        place = Place(
            tenant=tenant_id,
            number=head.number + 1,
            revision=before.revision + 1 if before else 1,
            issued_at=timezone.now(),
            previous=bytes(head.hash).hex() if head.number else None,
            supersedes=before.number if before else None,
        )
        text = body.text(statement, place)
        made = Receipt.objects.create(
            tenant_id=tenant_id,
            number=place.number,
            project_id=statement.project,
            request_id=statement.request_id,
            revision=place.revision,
            body=text,
            key=signer.name,
            signature=signer.sign(text),
            hash=body.digest(text),
            issued_at=place.issued_at,
        )
        head.number, head.hash = made.number, made.hash
        head.save(update_fields=["number", "hash"])
        return made


def _latest(request_id: str) -> Receipt | None:
    return Receipt.objects.filter(request_id=request_id).order_by("-revision").first()
