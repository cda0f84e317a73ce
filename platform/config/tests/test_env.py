import subprocess
import sys
from pathlib import Path

import pytest

from config import env

ROOT = Path(__file__).resolve().parents[3]
GOOD = {
    "SECRET_KEY": "k" * 50,
    "DATABASE_URL": "postgresql://owner:pa55word@127.0.0.1:5432/stenogate",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
}
# One value for each variable that it must refuse.
BAD = {
    "DEBUG": "maybe",
    "DEMO": "perhaps",
    "LOG_LEVEL": "LOUD",
    "REGION": "EU West",
    "REDIS_URL": "http://hunter2-host",
    "SECRET_KEY": "hunter2",
    "DATABASE_URL": "mysql://root:hunter2@h/d",
    "DATABASE_ROLE": "app; drop",
    "ALLOWED_HOSTS": "https://stt.example.com",
    "TRUSTED_PROXY": "sometimes",
    "GATEWAY_HOST": "0.0.0.0:8000",
    "ENGINE": "crystal-ball",
    "WORKER_NAME": "Worker One",
    "WORKER_HOST": "http://h",
    "BATCH_WAIT_MS": "5,15",
}
ANYTHING = {
    "METRICS_TOKEN", "MODEL", "SCRIPTED_FILE", "INFERENCE_LOG_DIR", "USAGE_SPOOL_DIR", "SELLER",
    "MAIL_FROM", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET",
}  # fmt: skip  # free text: no value of theirs is malformed


def test_a_good_environment_passes():
    env.check(GOOD)


def test_what_has_a_default_may_be_left_out_or_empty():
    assert env.GATEWAY_PORT.read({}) == env.GATEWAY_PORT.read({"GATEWAY_PORT": "  "}) == 8000
    assert env.BATCH_WAIT_MS.read({}) == (5.0, 15.0, 40.0)


def test_white_space_around_a_value_does_not_count():
    assert env.GATEWAY_PORT.read({"GATEWAY_PORT": " 8001\n"}) == 8001


@pytest.mark.parametrize("variable", env.variables(), ids=lambda v: v.name)
def test_defaults_and_examples_are_values_that_are_taken(variable):
    variable.read({variable.name: variable.example})
    if variable.default:
        variable.read({variable.name: variable.default})


@pytest.mark.parametrize("variable", [v for v in env.variables() if v.default is None], ids=lambda v: v.name)
@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_missing_variable_says_its_name_purpose_and_an_example(variable, value):
    environ = {name: v for name, v in GOOD.items() if name != variable.name}
    if value is not None:
        environ[variable.name] = value
    with pytest.raises(env.EnvError) as refusal:
        env.check(environ)
    expected = f"{variable.name} is not set. {variable.help} Example: {variable.name}={variable.example}"
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    "variable", [v for v in env.variables() if v.name not in ANYTHING], ids=lambda v: v.name
)
def test_a_malformed_variable_says_what_is_wrong_and_an_example(variable):
    bad = BAD.get(variable.name, "-99999999")  # the others are numbers
    with pytest.raises(env.EnvError) as refusal:
        env.check({**GOOD, variable.name: bad})
    said = str(refusal.value)
    assert said.startswith(f"{variable.name}: ")
    assert said.endswith(f"Example: {variable.name}={variable.example}")
    assert (repr(bad) in said) is not variable.secret
    assert "hunter2" not in said


def test_all_mistakes_are_told_at_once():
    with pytest.raises(env.EnvError) as refusal:
        env.check({"DATABASE_URL": "mysql://h", "GATEWAY_PORT": "x", "SECRET_KEY": "k" * 50})
    lines = str(refusal.value).splitlines()
    assert [line.split(" ")[0].rstrip(":") for line in lines] == ["REDIS_URL", "DATABASE_URL", "GATEWAY_PORT"]


def test_a_part_of_the_variables_can_be_checked_alone():
    env.check({"REDIS_URL": "redis://h"}, among=[env.REDIS_URL, env.WORKER_PORT])


@pytest.mark.parametrize("key", [env.DEMO_SECRET_KEY, env.SECRET_KEY.example])
def test_a_published_secret_key_is_refused_outside_a_demo(key):
    with pytest.raises(env.EnvError, match="published") as refusal:
        env.check({**GOOD, "SECRET_KEY": key, "DEBUG": "false"})
    assert key not in str(refusal.value)
    env.check({**GOOD, "SECRET_KEY": key, "DEBUG": "true"})
    env.check({**GOOD, "SECRET_KEY": key, "DEMO": "true"})


def test_no_variable_is_declared_twice_or_under_another_name():
    names = [variable.name for variable in env.variables()]
    assert len(names) == len(set(names))
    assert all(getattr(env, variable.name) is variable for variable in env.variables())


def test_the_example_file_is_current():
    assert (ROOT / ".env.example").read_text() == env.example(), "stale: run `make env-example`"


def test_a_copy_of_the_example_file_changes_nothing():
    assert all(line.startswith("#") for line in env.example().splitlines() if line)


def start(*command, **environ):
    """A process of ours with this environment and nothing else of ours."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "DJANGO_SETTINGS_MODULE": "config.settings", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [("manage.py", "check"), ("-m", "celery", "-A", "config.celery", "worker"), ("-m", "gateway.server")],
    ids=["manage.py", "celery", "gateway"],
)  # fmt: skip
def test_a_broken_environment_stops_each_process_with_sentences(command):
    done = start(*command, DATABASE_URL="mysql://root:hunter2@h/d", SECRET_KEY="k" * 50)
    assert done.returncode != 0
    assert "Stenogate cannot start." in done.stderr
    assert "REDIS_URL is not set." in done.stderr
    assert "DATABASE_URL: its value is not a URL starting with postgres://" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "hunter2" not in done.stderr + done.stdout


def test_production_refuses_the_demo_key():
    done = start("manage.py", "check", **{**GOOD, "SECRET_KEY": env.DEMO_SECRET_KEY, "DEBUG": "false"})
    assert done.returncode != 0
    assert "SECRET_KEY: its value is published" in done.stderr
    assert "Traceback" not in done.stderr
