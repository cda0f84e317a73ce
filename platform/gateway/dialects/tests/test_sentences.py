from __future__ import annotations

from gateway.dialects.sentences import sentence
from gateway.errors import BadAudio, IdleTimeout


def test_no_message_is_named_that_the_client_does_not_have() -> None:
    assert "KeepAlive" not in sentence(IdleTimeout("That is 5 seconds."))
    assert sentence(IdleTimeout("That is 5 seconds.")).endswith("That is 5 seconds.")
    assert sentence(BadAudio()) == BadAudio().sentence
