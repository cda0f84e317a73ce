import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import stripe

from ops.local import ports
from ops.stripe.process import LocalStripe

ROOT = Path(__file__).parents[3]


@pytest.fixture
def own(tmp_path):
    server = LocalStripe(tmp_path, ports.free_port())
    yield server
    server.stop()


def test_what_it_has_answered_survives_kill_9(own):
    client = stripe.StripeClient(own.api_key, base_addresses=own.base_addresses, max_network_retries=0)
    client.v1.billing.meters.create(
        {"display_name": "x", "event_name": "x", "default_aggregation": {"formula": "sum"}}
    )
    customer = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k"}).id
    event = {
        "event_name": "x", "identifier": "a", "payload": {"stripe_customer_id": customer, "value": "5"},
    }  # fmt: skip
    client.v1.billing.meter_events.create(event)
    own.control("faults", path="/v1/products", status=503)
    own.kill()
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.list()
    own.start()
    assert client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k"}).id == customer
    with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier"):
        client.v1.billing.meter_events.create(event)
    assert own.control("received")["totals"][0]["value"] == 5
    with pytest.raises(stripe.APIError):
        client.v1.products.list()


def test_it_ends_when_it_is_asked_to(own):
    process = own._server.process
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "the following arguments are required"),
        (("--webhook", "http://127.0.0.1:1/"), "STRIPE_WEBHOOK_SECRET"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path, more, said):
    told = ["--port", "0", "--file", str(tmp_path / "s.sqlite3")] if more else []
    done = subprocess.run(
        [sys.executable, "-m", "ops.stripe", *told, *more], cwd=ROOT, env={"PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_a_sentence(own, tmp_path):
    port = own.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "ops.stripe", "--port", port, "--file", str(tmp_path / "other.sqlite3")],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"Port {port} cannot be listened on" in done.stderr
