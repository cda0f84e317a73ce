"""The variables of metering and billing; `config.env` has them under the same names."""

from __future__ import annotations

from config.parsers import integer, number, optional_url, receipt_keys, text
from config.variable import Variable

USAGE_EVERY_SECONDS = Variable(
    "USAGE_EVERY_SECONDS",
    number(0.1, 300),
    "5",
    "Seconds of audio between two usage events of a stream.",
    "3",
)
USAGE_SPOOL_DIR = Variable(
    "USAGE_SPOOL_DIR",
    text,
    "/var/lib/stenogate/usage",
    "Where a gateway keeps usage until it is in the database, so that none is lost with a gateway or with "
    "Valkey. A local disk; gateways may share the folder. Empty: in memory, until Valkey has it.",
    "",
)
USAGE_SPOOL_MAX_BYTES = Variable(
    "USAGE_SPOOL_MAX_BYTES",
    integer(1024 * 1024, 2**50),
    str(1024**3),
    "How much of that may wait for a gateway before it takes no new streams. Twice as much is kept for the "
    "open ones. A stream makes about 0.5 MB an hour.",
    str(1024**3),
)
INFERENCE_LOG_DIR = Variable(
    "INFERENCE_LOG_DIR",
    text,
    "/var/lib/stenogate/inference-log",
    "Where a worker keeps its own record of what it has processed until it is in the database. Empty: it "
    "keeps none, and reconciliation has nothing to compare with.",
    "",
)
INFERENCE_LOG_DATABASE_URL = Variable(
    "INFERENCE_LOG_DATABASE_URL",
    optional_url("postgres", "postgresql"),
    "postgresql://worker@10.0.0.7:5432/stenogate",
    "Where a worker ships that record. A role that may execute metering_ship is enough. Empty: DATABASE_URL.",
    "",
    secret=True,
)
INFERENCE_LOG_MAX_BYTES = Variable(
    "INFERENCE_LOG_MAX_BYTES",
    integer(1_048_576, 10**15),
    "4294967296",
    "How much of that record may wait for the database; past it a worker takes no new streams.",
    "4294967296",
)
PUBLIC_URL = Variable(
    "PUBLIC_URL",
    optional_url("http", "https"),
    "https://stt.example.com",
    "The address that customers know this installation by, in receipts, invoices and links.",
    "",
)
RECEIPT_KEYS = Variable(
    "RECEIPT_KEYS",
    receipt_keys,
    "2026-11:an-example-seed-of-43-characters-never-used",
    "Ed25519 keys that sign receipts, as name:seed, the one in use first; older ones may follow. Make one "
    "with manage.py receipt_key. Empty: no receipts.",
    "",
    secret=True,
)
SELLER = Variable(
    "SELLER",
    text,
    "Example Speech Ltd, 1 Wave Street, Dublin, VAT IE1234567A",
    "Who invoices are from: name, then address and tax number, with commas.",
    "Stenogate",
)
STRIPE_API_KEY = Variable(
    "STRIPE_API_KEY",
    text,
    "sk_test_…",
    "The secret key of Stripe. Empty: nothing is sent to Stripe.",
    "",
    secret=True,
)
STRIPE_API_BASE = Variable(
    "STRIPE_API_BASE",
    optional_url("http", "https"),
    "http://127.0.0.1:12111",
    "Another address for Stripe's interface: the local one. Empty: Stripe itself.",
    "",
)
STRIPE_WEBHOOK_SECRET = Variable(
    "STRIPE_WEBHOOK_SECRET",
    text,
    "whsec_…",
    "What Stripe signs its webhooks to /webhooks/stripe with; several, with commas. Empty: none are taken.",
    "",
    secret=True,
)
GRACE_DAYS = Variable(
    "GRACE_DAYS",
    number(0, 365),
    "7",
    "Days that a customer whose payment has failed is still served.",
    "7",
)
PAYMENT_TERM_DAYS = Variable(
    "PAYMENT_TERM_DAYS",
    integer(0, 365),
    "30",
    "Days from an invoice's issue to its due date.",
    "14",
)
MAIL_URL = Variable(
    "MAIL_URL",
    optional_url("smtp", "smtps"),
    "smtps://billing:secret@mail.example.com:465",
    "The mail server for invoices and notices to customers; smtps is TLS from the start, smtp turns to it by "
    "STARTTLS where a user is named. Empty: nothing is mailed.",
    "",
    secret=True,
)
MAIL_FROM = Variable(
    "MAIL_FROM",
    text,
    "Example Speech <billing@example.com>",
    "Who that mail is from.",
    "billing@localhost",
)
