"""docker-compose.yml and the Dockerfile, as far as they can be read without an engine."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml

from config import env, env_money
from config.variable import Variable
from ops.local import postgres, valkey

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "stenogate"}
DOCKERFILE = (ROOT / "ops" / "deploy" / "Dockerfile").read_text()


def test_the_services_are_those_of_make_run():
    assert set(SERVICES) == {"postgres", "valkey", "migrate", "gateway", "celery", "callbacks", "worker"}
    assert SERVICES["postgres"]["image"] == f"postgres:{postgres.MAJOR}"


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_declared_and_has_a_value_that_is_taken(name):
    declared = {variable.name: variable for variable in env.variables()}
    given = filled_all(name)
    assert set(given) <= set(declared)
    env.check(given)


def filled(text):
    """As compose fills it in with only the secrets set."""
    secrets = {"SECRET_KEY": "k" * 50, "POSTGRES_PASSWORD": "p" * 24}

    def value(match):
        name, default = match.groups()
        return secrets.get(name) or default or ""

    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", value, text)


def test_no_secret_has_a_default():
    for secret in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        assert set(re.findall(rf"\$\{{{secret}(..)", TEXT)) == {":?"}


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name):
    for command in (
        OURS[name]["command"],
        OURS[name].get("healthcheck", {}).get("test", ["CMD", "python"])[1:],
    ):
        program, *rest = command
        assert shutil.which(program, path=str(ROOT / ".venv" / "bin")) or shutil.which(program)
        if rest[:1] == ["-m"]:
            assert importlib.util.find_spec(rest[1])
        elif rest and rest[0].endswith(".py"):
            assert (ROOT / rest[0]).exists()


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "migrate"])
def test_every_service_has_a_health_check_and_comes_back(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_nothing_listens_to_the_world_without_tls():
    assert [port for service in SERVICES.values() for port in service.get("ports", [])] == [
        "127.0.0.1:${GATEWAY_PORT:-8000}:8000"
    ]


def test_prometheus_which_is_another_machine_can_be_let_in():
    assert SERVICES["gateway"]["environment"][env.METRICS_TOKEN.name] == "${METRICS_TOKEN:-}"


def test_valkey_is_told_what_the_embedded_one_is_told():
    command = " ".join(SERVICES["valkey"]["command"])
    for words in (valkey.PUBSUB_LIMIT, f"--maxmemory {valkey.MAX_MEMORY}", "noeviction", "--appendonly yes"):
        assert words in command


@pytest.mark.parametrize(
    ("service", "variable", "volume"),
    [("gateway", "USAGE_SPOOL_DIR", "usage"), ("worker", "INFERENCE_LOG_DIR", "inference-log")],
)
def test_both_records_of_usage_outlive_their_container_and_belong_to_who_writes_them(
    service, variable, volume
):
    folder = SERVICES[service]["environment"][variable]
    assert f"{volume}:{folder}" in SERVICES[service]["volumes"]
    assert volume in COMPOSE["volumes"]
    assert re.search(rf"^RUN install -d -o stenogate .*{folder}\b", DOCKERFILE, re.MULTILINE)


# Of who keeps usage and logs, which have folders of their own above, and of tests.
NOT_OF_BILLS = {
    "USAGE_EVERY_SECONDS", "USAGE_SPOOL_DIR", "USAGE_SPOOL_MAX_BYTES", "INFERENCE_LOG_DIR",
    "INFERENCE_LOG_DATABASE_URL", "INFERENCE_LOG_MAX_BYTES", "STRIPE_API_BASE",
}  # fmt: skip


def test_who_bills_is_told_how_and_the_worker_no_secret_of_it():
    told = {value.name for value in vars(env_money).values() if isinstance(value, Variable)} - NOT_OF_BILLS
    for service in ("gateway", "celery", "callbacks"):
        given = SERVICES[service]["environment"]
        assert {name: given.get(name) for name in told} == {name: f"${{{name}:-}}" for name in told}
    assert told.isdisjoint(SERVICES["worker"]["environment"])


def test_what_is_mounted_and_copied_exists_and_is_let_through():
    mounted = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if v.startswith("./")]
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for path in [*mounted, *(path.replace("${LOCK}", "base") for path in copied)]:
        assert (ROOT / path).exists(), path
    for path in copied:
        assert f"!{path.split('/')[0]}" in ignored


def test_every_package_the_processes_import_is_in_the_image():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"stenogate", "tests"}
    copied = set(re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE))
    assert packages | {"platform"} == copied


def test_the_image_runs_as_nobody_and_holds_no_secret():
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users == ["stenogate"]
    assert DOCKERFILE.count("\nFROM ") == 2
    assert not re.search(r"SECRET|PASSWORD|_KEY", DOCKERFILE)


def test_the_image_is_made_of_locks_that_are_there():
    readme = (ROOT / "ops" / "deploy" / "README.md").read_text()
    override = yaml.safe_load(re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)[1])["services"]["worker"]
    (default,) = re.findall(r"^ARG LOCKS=(\S+)$", DOCKERFILE, re.MULTILINE)
    for locks in (default, override["build"]["args"]["LOCKS"]):
        # The base is first: its hashes are compared before anything without them is installed.
        assert locks.split()[0] == "base"
        assert all((ROOT / "requirements" / f"{lock}.lock").exists() for lock in locks.split())
    env.check({**filled_all("worker"), **override["environment"]})


def filled_all(name):
    return {key: filled(str(value)) for key, value in OURS[name]["environment"].items()}
