import os
import socket

import pytest

from ops.local import checks
from ops.local.errors import LocalError, NoSpace, PortTaken
from ops.local.ports import free_port, holder
from ops.local.running import Paths


@pytest.fixture
def listener():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_taken_port_says_which_who_and_what_to_change(listener):
    with pytest.raises(PortTaken) as refusal:
        checks.port(listener, "127.0.0.1", "gateway", "GATEWAY_PORT")
    said = str(refusal.value)
    assert said.startswith(f"Port {listener}, meant for the gateway, is taken by ")
    assert f"(pid {os.getpid()})" in said
    assert said.endswith(f"choose another: GATEWAY_PORT={listener + 1} make run")


def test_a_taken_port_whose_holder_nobody_knows(listener):
    with pytest.raises(PortTaken, match=rf"Port {listener}, meant for the gateway, is taken\. Stop"):
        checks.port(listener, "127.0.0.1", "gateway", "GATEWAY_PORT", holder=lambda number: None)


def test_a_free_port_has_no_holder():
    port = free_port()
    checks.port(port, "127.0.0.1", "gateway", "GATEWAY_PORT")
    assert holder(port) is None


def test_a_port_that_only_root_may_use_is_not_called_taken(monkeypatch):
    def forbidden(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)
    with pytest.raises(LocalError, match="Port 80, meant for the gateway, needs root"):
        checks.port(80, "127.0.0.1", "gateway", "GATEWAY_PORT")


def test_an_address_that_is_not_of_this_machine_is_said():
    with pytest.raises(LocalError, match=r"GATEWAY_HOST: this machine has no address 192\.0\.2\.1"):
        checks.port(free_port(), "192.0.2.1", "gateway", "GATEWAY_PORT")


def test_a_full_disk_is_a_sentence(tmp_path):
    with pytest.raises(NoSpace, match=r"The disk of .* has 12 MB left; Stenogate needs 300 MB"):
        checks.space(tmp_path, free=lambda path: 12 * 2**20)
    checks.space(tmp_path, free=lambda path: checks.MIN_FREE_BYTES)


def test_a_var_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "var").write_text("a file")
    with pytest.raises(LocalError, match=r"var.* cannot be made"):
        checks.writable(Paths(tmp_path / "var"))


def test_what_holds_secrets_is_for_nobody_else(tmp_path):
    paths = Paths(tmp_path / "var")
    checks.writable(paths)
    assert paths.run.stat().st_mode & 0o777 == 0o700
