import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import redis

from config.celery import ALIVE_KEY, CALLBACKS_ALIVE_KEY
from ops.deploy import healthcheck
from ops.local.ports import free_port


@pytest.fixture
def page():
    """A health page whose status the test sets."""

    class Page(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            self.send_response(Page.status)
            self.end_headers()
            self.wfile.write(b"down  workers: none has been heard of")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Page.port = server.server_port
    yield Page
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("part", "variable"), [("gateway", "GATEWAY_PORT"), ("worker", "WORKER_PORT")])
def test_a_page_that_answers_200_is_ready(part, variable, page, monkeypatch, capsys):
    monkeypatch.setenv(variable, str(page.port))
    assert healthcheck.main([part]) == 0
    page.status = 503
    assert healthcheck.main([part]) == 1
    assert capsys.readouterr().out == "down  workers: none has been heard of\n"


def test_nobody_there_is_not_ready(monkeypatch, capsys):
    monkeypatch.setenv("GATEWAY_PORT", str(free_port()))
    assert healthcheck.main(["gateway"]) == 1
    assert capsys.readouterr().out.startswith("no answer: ")


@pytest.mark.parametrize(("part", "key"), [("celery", ALIVE_KEY), ("callbacks", CALLBACKS_ALIVE_KEY)])
def test_celery_is_ready_when_it_has_been_heard_of(part, key, valkey_server, monkeypatch):
    monkeypatch.setenv("REDIS_URL", valkey_server)
    with redis.Redis.from_url(valkey_server) as client:
        client.delete(key)
        assert healthcheck.main([part]) == 1
        client.set(key, "now")
        assert healthcheck.main([part]) == 0
        client.delete(key)


def test_anything_else_is_asked_back(capsys):
    assert healthcheck.main([]) == 1
    assert "gateway, worker, celery or callbacks" in capsys.readouterr().out
