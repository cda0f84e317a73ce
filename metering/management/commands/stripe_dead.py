"""`manage.py stripe_dead list|retry|drop`: what Stripe will not take, and which webhooks were given up."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metering.models import MeterIntent, WebhookEvent
from metering.payments import dead, settle


class Command(BaseCommand):
    help = "List what Stripe will not take, say it again, or let it go."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("list", help="every dead meter event and webhook, with the reason")
        retry = what.add_parser("retry", help="say it again")
        retry.add_argument("identifier", nargs="+", help="as listed; 'all' that surely did not arrive")
        drop = what.add_parser("drop", help="never tell Stripe of it")
        drop.add_argument("identifier", nargs="+", help="as listed")
        drop.add_argument("--reason", required=True, help="for the tenant's audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        intents, webhooks = dead.intents(), list(dead.given_up())
        if options["what"] == "list":
            self._list(intents, webhooks)
            return
        wanted = set(options["identifier"])
        everything = wanted == {"all"} and options["what"] == "retry"
        there = {one.identifier for one in intents} | {one.provider_id for one in webhooks}
        if not everything and (unknown := sorted(wanted - there)):
            raise CommandError(f"not among the dead: {', '.join(unknown)}. See stripe_dead list")
        for intent in intents:
            if everything and intent.error in settle.MAY_HAVE_ARRIVED:
                self.stdout.write(f"{intent.identifier}: {intent.error}")
            elif everything or intent.identifier in wanted:
                self._intent(intent, options)
        for event in webhooks:
            if everything or event.provider_id in wanted:
                if options["what"] == "drop":
                    WebhookEvent.objects.filter(id=event.id).update(
                        outcome=f"dropped: {options['reason']}"[:300]
                    )
                else:
                    dead.handle_again(event)
                self.stdout.write(f"{event.provider_id}: {options['what']}")

    def _intent(self, intent: MeterIntent, options: dict[str, Any]) -> None:
        if options["what"] == "drop":
            if dead.drop(intent, options["reason"]):
                self.stdout.write(f"{intent.identifier}: dropped")
            return
        try:
            if made := dead.retry(intent):
                self.stdout.write(f"{intent.identifier}: said again as {made.identifier}")
        except (dead.Reconciled, dead.SaidAgain) as error:
            self.stdout.write(f"{intent.identifier}: {error}")

    def _list(self, intents: list[MeterIntent], webhooks: list[WebhookEvent]) -> None:
        for intent in intents:
            self.stdout.write(
                f"{intent.identifier}  {intent.tenant.slug}  {intent.meter} {intent.value}  "
                f"{intent.timestamp:%Y-%m-%d %H:%M} UTC  {intent.error}"
            )
        for event in webhooks:
            self.stdout.write(f"{event.provider_id}  webhook {event.type}  {event.outcome}")
        self.stdout.write(f"{len(intents)} meter events and {len(webhooks)} webhooks are dead")
