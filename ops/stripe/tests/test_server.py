import http.client
import socket
from urllib.parse import urlsplit

import pytest

from ops.stripe.errors import BrokenAnswer
from ops.stripe.server import Server


@pytest.fixture
def address(local_stripe):
    parts = urlsplit(local_stripe.url)
    return parts.hostname, parts.port


@pytest.mark.parametrize("length", ["-1", "many", "99999999999"])
def test_a_length_that_is_none_is_refused(address, length):
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.putrequest("POST", "/v1/customers")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_who_hangs_up_harms_nobody(address, client):
    with socket.create_connection(address, timeout=20) as half:
        half.sendall(b"POST /v1/customers HTTP/1.1\r\nContent-Length: 100\r\n\r\nna")
    assert client.v1.customers.list().data == []


def test_one_connection_takes_many_requests(address):
    connection = http.client.HTTPConnection(*address, timeout=20)
    for _ in range(3):
        connection.request("GET", "/v1/customers", headers={"Authorization": "Bearer sk_test_any"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read().startswith(b"{")
    connection.close()


def test_it_listens_on_this_machine_only(address):
    assert address[0] == "127.0.0.1"


def test_a_mistake_beside_the_requests_is_kept_for_the_test(tmp_path, capsys):
    server = Server(0, tmp_path / "state.sqlite3")
    server.note(BrokenAnswer("customer: name"))
    assert server.world.store.setting("broken", []) == ["BrokenAnswer: customer: name"]
    assert "customer: name" in capsys.readouterr().err
    server.server_close()
