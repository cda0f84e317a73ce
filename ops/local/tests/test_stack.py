"""What the processes are told, and what a run tells the world."""

import pytest

from config import env
from ops.local import checks, ports, stack
from ops.local.errors import LocalError
from ops.local.running import Paths, write_json


@pytest.fixture
def paths(tmp_path):
    paths = Paths(tmp_path / "var")
    checks.writable(paths)
    return paths


def test_with_nothing_set_it_is_a_demo_with_servers_of_its_own():
    given = stack.settings({}, {})
    assert given.demo
    assert given.own_database
    assert given.own_redis
    assert given.environ["SECRET_KEY"] == env.DEMO_SECRET_KEY
    assert given.gateway_url == "http://127.0.0.1:8000"


def test_the_environment_wins_over_the_file_and_the_file_over_the_demo():
    dotenv = {"REGION": "eu-1", "GATEWAY_PORT": "8001", "DEMO": "false", "SECRET_KEY": "k" * 50}
    given = stack.settings({"GATEWAY_PORT": "8002"}, dotenv)
    assert given.environ["REGION"] == "eu-1"
    assert given.gateway_url == "http://127.0.0.1:8002"
    assert not given.demo


def test_set_and_empty_is_not_set():
    given = stack.settings({"DATABASE_URL": " ", "REDIS_URL": ""}, {"DATABASE_URL": "postgresql://h/d"})
    assert given.own_database
    assert given.own_redis


def test_mistakes_are_told_at_once_and_servers_of_ours_are_none():
    with pytest.raises(LocalError) as refusal:
        stack.settings({"GATEWAY_PORT": "x", "REGION": "EU"}, {})
    assert [line.split(":")[0] for line in str(refusal.value).splitlines()] == ["REGION", "GATEWAY_PORT"]
    with pytest.raises(LocalError, match="REDIS_URL"):
        stack.settings({"REDIS_URL": "http://h"}, {})


def test_without_the_demo_its_key_is_refused():
    with pytest.raises(LocalError, match="SECRET_KEY: its value is published"):
        stack.settings({"DEMO": "false"}, {})


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")],
)
def test_addresses_are_ones_that_can_be_opened_here(host, url):
    assert stack.settings({"GATEWAY_HOST": host}, {}).gateway_url == url


def test_the_inference_log_is_kept_with_the_other_data_unless_it_is_to_be_elsewhere(paths):
    told = stack.environment(stack.settings({}, {}), paths, "d", "r")
    assert told["INFERENCE_LOG_DIR"] == str(paths.var.resolve() / "inference-log")
    given = stack.settings({"INFERENCE_LOG_DIR": "/elsewhere"}, {})
    assert stack.environment(given, paths, "d", "r")["INFERENCE_LOG_DIR"] == "/elsewhere"


def test_usage_is_kept_with_the_other_data_unless_it_is_to_be_elsewhere(paths):
    told = stack.environment(stack.settings({}, {}), paths, "postgresql://d", "redis://r")
    assert told["USAGE_SPOOL_DIR"] == str(paths.var.resolve() / "usage")
    given = stack.settings({"USAGE_SPOOL_DIR": "/elsewhere"}, {})
    assert stack.environment(given, paths, "d", "r")["USAGE_SPOOL_DIR"] == "/elsewhere"


def test_every_process_can_be_known_as_ours_and_the_gateway_answers_to_this_machine(paths):
    given = stack.settings({"ALLOWED_HOSTS": "stt.example.com"}, {})
    told = stack.environment(given, paths, "postgresql://d", "redis://r")
    assert told["STENOGATE_VAR"] == str(paths.var)
    assert told["ALLOWED_HOSTS"] == "stt.example.com,localhost,127.0.0.1,[::1]"
    env.check({**told, "DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h"})
    names = [service.name for service in stack.processes(given, told, paths)]
    assert names == ["worker", "celery", "callbacks", "gateway"]


def test_the_worker_is_told_its_model_and_has_time_to_load_it(paths):
    chosen = {"MODEL": "x.nemo", "ATT_RIGHT_CONTEXT": "6", "COMPUTE_DTYPE": "float32", "DEVICE": "cpu"}
    given = stack.settings({"ENGINE": "nemo"}, chosen)
    told = stack.environment(given, paths, "postgresql://d", "redis://r")
    worker = stack.processes(given, told, paths)[0]
    assert {name: worker.env[name] for name in chosen} == chosen
    assert worker.start_timeout > 120
    assert "engine nemo" in worker.detail
    assert not given.tiny_model
    assert stack.settings({"ENGINE": "nemo"}, {}).tiny_model
    assert not stack.settings({}, {}).tiny_model


def test_demo_json_has_what_scripts_need(paths):
    write_json(paths.secrets, {"api_key": "k", "admin_user": "u", "admin_password": "p", "more": 1})
    facts = stack.facts(stack.settings({"REGION": "eu-1"}, {}), paths, {"gateway": 7})
    assert facts.pop("pids")["gateway"] == 7
    assert facts == {
        "http_url": "http://127.0.0.1:8000",
        "ws_url": "ws://127.0.0.1:8000",
        "admin_url": "http://127.0.0.1:8000/admin/",
        "api_key": "k",
        "admin_user": "u",
        "admin_password": "p",
        "stripe_url": None,
        "region": "eu-1",
    }


def test_the_ports_of_the_last_run_are_taken_again_if_they_are_free():
    port = ports.free_port()
    assert stack.port_of("postgres", {"postgres": port}) == port
    remembered = {"postgres": "nonsense", "valkey": 80}
    assert stack.port_of("postgres", remembered) == remembered["postgres"] > 1024
    assert stack.port_of("valkey", remembered) == remembered["valkey"] > 1024


def test_a_server_of_yours_that_does_not_answer_is_named_without_its_password(paths):
    port = ports.free_port()
    ours = {"DATABASE_URL": "", "REDIS_URL": f"redis://:hunter2@127.0.0.1:{port}/0"}
    with pytest.raises(LocalError, match=rf"REDIS_URL: no answer from 127\.0\.0\.1:{port}/0") as refusal:
        stack._reach_redis(ours["REDIS_URL"])
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(LocalError, match=rf"DATABASE_URL: no answer from 127\.0\.0\.1:{port}/d") as refusal:
        stack._reach_database(f"postgresql://u:hunter2@127.0.0.1:{port}/d")
    assert "hunter2" not in str(refusal.value)


def test_servers_of_yours_are_used(paths, postgres_server, valkey_server):
    given = stack.settings({"DATABASE_URL": postgres_server, "REDIS_URL": valkey_server}, {})
    assert stack.storage(given, paths) == ([], postgres_server, valkey_server)


def test_a_demo_has_a_stripe_of_its_own_unless_it_is_told_of_one(paths):
    given = stack.settings({}, {})
    (service,) = stack.stripe(given, paths)
    url = stack.facts(given, paths, {})["stripe_url"]
    told = stack.environment(given, paths, "postgresql://d", "redis://r")
    assert service.name == "stripe"
    assert service.detail == url == told["STRIPE_API_BASE"]
    assert told["STRIPE_API_KEY"].startswith("sk_test_")
    # Both know one secret, which is of this var/ and in the arguments of no process.
    assert service.env["STRIPE_WEBHOOK_SECRET"] == told["STRIPE_WEBHOOK_SECRET"]
    assert told["STRIPE_WEBHOOK_SECRET"] not in service.command
    assert stack.stripe(given, paths)[0].detail == url
    assert f"{given.gateway_url}/webhooks/stripe" in service.command

    for own in ({"STRIPE_API_KEY": "sk_test_mine"}, {"DEMO": "false", "SECRET_KEY": "k" * 50}):
        given = stack.settings(own, {})
        assert stack.stripe(given, paths) == []
        told = stack.environment(given, paths, "postgresql://d", "redis://r")
        assert told.get("STRIPE_API_KEY") == own.get("STRIPE_API_KEY")
        assert "STRIPE_API_BASE" not in told
        assert stack.facts(given, paths, {})["stripe_url"] is None


def test_receipts_are_signed_with_a_key_of_this_var_unless_one_is_told(paths):
    given = stack.settings({}, {})
    told = stack.environment(given, paths, "postgresql://d", "redis://r")["RECEIPT_KEYS"]
    [(name, seed)] = env.RECEIPT_KEYS.read({"RECEIPT_KEYS": told})
    assert (name, len(seed)) == ("local", 32)
    # The database keeps the public half: another seed of the same name would sign nothing.
    assert stack.environment(given, paths, "postgresql://d", "redis://r")["RECEIPT_KEYS"] == told
    assert (paths.run / "receipts.json").stat().st_mode & 0o077 == 0

    own = {"RECEIPT_KEYS": env.RECEIPT_KEYS.example}
    given = stack.settings(own, {})
    told = stack.environment(given, paths, "postgresql://d", "redis://r")
    assert told["RECEIPT_KEYS"] == env.RECEIPT_KEYS.example
    given = stack.settings({"DATABASE_URL": "postgresql://elsewhere/d"}, {})
    assert "RECEIPT_KEYS" not in stack.environment(given, paths, "postgresql://elsewhere/d", "redis://r")


def test_a_page_that_is_not_there_is_not_healthy():
    port = ports.free_port()
    assert "does not answer" in stack.healthy(f"http://127.0.0.1:{port}/healthz")
