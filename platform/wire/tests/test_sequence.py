from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.messages import AnyItem, Audio, Envelope, Flush
from wire.sequence import MAX_ENVELOPE_BYTES, MIN_RESENDS, Peer, PeerBroken


def flush(number: int) -> Flush:
    return Flush(stream="s", epoch=1, token=number)


def audio(size: int) -> Audio:
    return Audio(stream="s", epoch=1, position=0, pcm=bytes(size))


# ---- one at a time


def test_items_arrive_in_order_and_are_acknowledged() -> None:
    here, there = Peer(me="here"), Peer(me="there")
    here.send([flush(1), flush(2)])
    (envelope,) = here.envelopes_to_send(0.0)
    assert there.receive(envelope, 0.0) == (flush(1), flush(2))
    (answer,) = there.envelopes_to_send(0.0)
    assert (answer.seq, answer.ack) == (0, 1)
    assert here.receive(answer, 0.0) == ()
    assert here.idle
    assert there.idle
    assert here.unacknowledged_bytes == 0


def test_a_bare_acknowledgement_is_not_acknowledged() -> None:
    here, there = Peer(me="here"), Peer(me="there")
    there.receive(Envelope(sender="here", seq=0, ack=0), 0.0)
    assert there.envelopes_to_send(0.0) == []
    assert here.envelopes_to_send(0.0) == []


def test_a_lost_envelope_is_sent_again_with_all_after_it() -> None:
    here, there = Peer(me="here"), Peer(me="there")
    for number in (1, 2, 3):
        here.send([flush(number)])
        envelopes = here.envelopes_to_send(0.0)
        if number != 1:
            assert there.receive(envelopes[0], 0.0) == ()
    assert here.envelopes_to_send(0.4) == []
    again = here.envelopes_to_send(0.5)
    assert [item for envelope in again for item in there.receive(envelope, 0.5)] == [
        flush(n) for n in (1, 2, 3)
    ]
    assert here.resent == 3


def test_a_repeated_envelope_is_delivered_once_and_acknowledged_again() -> None:
    here, there = Peer(me="here"), Peer(me="there")
    here.send([flush(1)])
    (envelope,) = here.envelopes_to_send(0.0)
    assert there.receive(envelope, 0.0) == (flush(1),)
    there.envelopes_to_send(0.0)
    assert there.receive(envelope, 0.1) == ()
    assert [answer.ack for answer in there.envelopes_to_send(0.1)] == [1]


def test_large_items_travel_in_several_envelopes_and_small_ones_together() -> None:
    peer = Peer(me="here")
    peer.send([audio(MAX_ENVELOPE_BYTES // 2), audio(MAX_ENVELOPE_BYTES // 2), flush(1), flush(2)])
    assert [len(envelope.items) for envelope in peer.envelopes_to_send(0.0)] == [1, 3]
    peer.send([audio(2 * MAX_ENVELOPE_BYTES)])
    assert [len(envelope.items) for envelope in peer.envelopes_to_send(0.0)] == [1]


# ---- broken, by name


def test_silence_breaks_it_but_not_before_it_was_asked_again() -> None:
    peer = Peer(me="here")
    peer.send([flush(1)])
    peer.envelopes_to_send(0.0)
    for resends in range(MIN_RESENDS):
        # As after a suspended process: much time has gone, but nobody had the chance to answer.
        assert len(peer.envelopes_to_send(100.0 + resends)) == 1
    with pytest.raises(PeerBroken, match="no acknowledgement"):
        peer.envelopes_to_send(200.0)


def test_an_acknowledgement_in_between_keeps_it_alive() -> None:
    peer = Peer(me="here")
    peer.send([flush(1)])
    now = 0.0
    for number in range(1, 30):
        peer.envelopes_to_send(now)
        peer.send([flush(number)])
        now += 3.0
        peer.envelopes_to_send(now)
        peer.receive(Envelope(sender="there", ack=number), now)


def test_more_than_it_can_keep_breaks_it() -> None:
    peer = Peer(me="here", max_unacknowledged_bytes=10_000)
    peer.send([audio(5_000)])
    peer.envelopes_to_send(0.0)
    with pytest.raises(PeerBroken, match="too much"):
        peer.send([audio(5_000)])


def test_acknowledging_what_was_never_sent_breaks_it() -> None:
    peer = Peer(me="here")
    peer.send([flush(1)])
    peer.envelopes_to_send(0.0)
    with pytest.raises(PeerBroken, match="never sent"):
        peer.receive(Envelope(sender="there", ack=2), 0.0)


def test_the_other_side_is_told_and_need_not_wait() -> None:
    here, there = Peer(me="here", link=4), Peer(me="there", link=4)
    with pytest.raises(PeerBroken, match="given this link up"):
        there.receive(here.farewell(), 0.0)


def test_what_is_left_of_an_older_link_does_no_harm() -> None:
    old, new, there = Peer(me="here", link=1), Peer(me="here", link=2), Peer(me="there", link=2)
    old.send([flush(1)])
    new.send([flush(2)])
    (stale,), (fresh,) = old.envelopes_to_send(0.0), new.envelopes_to_send(0.0)
    assert there.receive(stale, 0.0) == ()
    assert there.receive(old.farewell(), 0.0) == ()
    assert there.receive(fresh, 0.0) == (flush(2),)


def test_a_sign_of_life_says_nothing_else() -> None:
    here, there = Peer(me="here"), Peer(me="there")
    assert there.receive(here.keepalive(), 0.0) == ()
    assert there.idle


# ---- any loss, repetition and disorder

STEP_S = 0.125


@dataclass
class Side:
    """One side with what it sent, what it got, and what is on its way to it."""

    peer: Peer
    sent: list[AnyItem] = field(default_factory=list)
    got: list[AnyItem] = field(default_factory=list)
    coming: list[Envelope] = field(default_factory=list)


def speak(side: Side, other: Side, now: float) -> None:
    other.coming += side.peer.envelopes_to_send(now)


def hear(side: Side, index: int, now: float, *, keep: bool = False) -> None:
    envelope = side.coming[index] if keep else side.coming.pop(index)
    side.got += side.peer.receive(envelope, now)


def act(sides: Sequence[Side], action: str, which: int, index: int, now: float) -> None:
    side, other = sides[which], sides[1 - which]
    if action == "send":
        items = [flush(len(side.sent) + k) for k in range(index % 3 + 1)]
        side.peer.send(items)
        side.sent += items
    elif action == "speak":
        speak(side, other, now)
    elif side.coming:
        at = index % len(side.coming)
        if action == "lose":
            del side.coming[at]
        else:
            hear(side, at, now, keep=action == "repeat")


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["send", "speak", "hear", "hear", "lose", "repeat", "wait"]),
        st.integers(0, 1),
        st.integers(0, 1000),
    ),
    max_size=120,
)


@settings(max_examples=400, deadline=None)
@given(ACTIONS)
def test_every_item_arrives_once_and_in_order_or_the_peer_breaks_by_name(
    actions: list[tuple[str, int, int]],
) -> None:
    sides = (Side(Peer(me="a")), Side(Peer(me="b")))
    now = 0.0
    broken = False
    try:
        for action, which, index in actions:
            now += STEP_S if action == "wait" else 0.0
            act(sides, action, which, index, now)
        # From here on the network is good.
        for _ in range(40):
            now += STEP_S
            for side, other in (sides, sides[::-1]):
                speak(side, other, now)
                while other.coming:
                    hear(other, 0, now)
    except PeerBroken:
        broken = True
    for side, other in (sides, sides[::-1]):
        assert other.got == side.sent[: len(other.got)]
        if not broken:
            assert other.got == side.sent
            assert side.peer.idle


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.4))
def test_a_network_that_loses_less_than_half_never_breaks_it(seed: int, loss: float) -> None:
    import random

    chance = random.Random(seed)
    sides = (Side(Peer(me="a", broken_after_s=30.0)), Side(Peer(me="b", broken_after_s=30.0)))
    now = 0.0
    for turn in range(10_000):
        if turn >= 60 and all(side.peer.idle for side in sides):
            break
        now += STEP_S
        for side, other in (sides, sides[::-1]):
            if turn < 60:
                item = flush(len(side.sent))
                side.peer.send([item])
                side.sent.append(item)
            speak(side, other, now)
            other.coming = [envelope for envelope in other.coming if chance.random() >= loss]
            chance.shuffle(other.coming)
            while other.coming:
                hear(other, 0, now)
    for side, other in (sides, sides[::-1]):
        assert other.got == side.sent
