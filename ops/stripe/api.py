"""One request of Stripe's interface, from its bytes to the bytes of its answer."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ops.stripe import checks, expand, faults, forms, meter_events, streams
from ops.stripe.errors import BrokenAnswer, Refusal, too_many, unauthorised
from ops.stripe.events import API_VERSION
from ops.stripe.routes import ROUTES
from ops.stripe.store import new_id
from ops.stripe.world import Call, Handler, World

KEPT_S = 24 * 3600
ONE_AT_A_TIME = "/v1/billing/meter_events"


@dataclass
class Asked:
    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]  # names in lower case


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Api:
    def __init__(self, world: World) -> None:
        self.world = world
        self.in_flight: set[str] = set()
        self.second, self.in_second = 0, 0
        self.lock = threading.Lock()

    def answer(self, asked: Asked) -> Answer:
        """May raise `faults.Reset`: then there is none."""
        request_id = new_id("req", 14)
        with self.world.store.transaction():
            hit = faults.next_of(self.world.store, asked.method, asked.path, time.time())
        wanted = {one.when: one for one in hit}
        if "before" in wanted and wanted["before"].kind == "reset":
            raise faults.Reset  # nobody is there to look at a key
        busy = ""
        try:
            _authenticate(asked)
            self._limit()
            busy = self._claim(asked)
            answer = self._done(asked, request_id, wanted)
        except Refusal as refusal:
            answer = _refused(refusal)
        finally:
            with self.lock:
                self.in_flight.discard(busy)
        if after := wanted.get("after"):
            if after.kind == "reset":
                raise faults.Reset
            self._wait(after.seconds)
        answer.headers.setdefault("Request-Id", request_id)
        answer.headers.setdefault("Stripe-Version", asked.headers.get("stripe-version", API_VERSION))
        if key := asked.headers.get("idempotency-key"):
            answer.headers.setdefault("Idempotency-Key", key)
        return answer

    def _done(self, asked: Asked, request_id: str, wanted: dict[str, faults.Fault]) -> Answer:
        before = wanted.get("before")
        instead = faults.refusal(before) if before and before.kind == "status" else None
        if before:
            self._wait(before.seconds)
        return self._kept_or_done(asked, request_id, instead, wanted.get("after"))

    def _kept_or_done(
        self, asked: Asked, request_id: str, instead: Refusal | None, after: faults.Fault | None
    ) -> Answer:
        """All that a request changes, its kept answer too, is one transaction."""
        key = asked.headers.get("idempotency-key", "") if asked.method == "POST" else ""
        if len(key) > 255:
            raise Refusal("Idempotency keys can be up to 255 characters long.", keep=False)
        store = self.world.store
        with store.transaction():
            now = self.world.now
            if key and (kept := self._kept(key, asked, now)):
                return kept
            try:
                if instead:
                    raise instead
                store.db.execute("savepoint doing")
                answer = Answer(200, self._do(asked, request_id, key))
            except Refusal as refusal:
                if refusal is not instead and refusal.undo:
                    store.db.execute("rollback to doing")
                if not refusal.keep:
                    raise
                answer = _refused(refusal)
            except BrokenAnswer as broken:
                store.db.execute("rollback to doing")
                store.set("broken", [*store.setting("broken", []), str(broken)])
                print(f"an answer is not Stripe's: {broken}", file=sys.stderr, flush=True)
                message = f"The local Stripe answered what Stripe's document does not allow: {broken}"
                answer = _refused(Refusal(message, status=500, kind="api_error"))
            if after and after.kind == "status":
                answer = _refused(faults.refusal(after))
            if key:
                store.db.execute(
                    "insert or replace into kept_answers values (?, ?, ?, ?, ?)",
                    (key, _fingerprint(asked), answer.status, json.dumps([answer.body, answer.headers]), now),
                )
            return answer

    def _kept(self, key: str, asked: Asked, now: int) -> Answer | None:
        row = self.world.store.db.execute(
            "select * from kept_answers where key = ? and at > ?", (key, now - KEPT_S)
        ).fetchone()
        if row is None:
            return None
        if row["asked"] != _fingerprint(asked):
            raise Refusal(
                "Keys for idempotent requests can only be used with the same parameters they were first used"
                f" with. Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error", keep=False,
            )  # fmt: skip
        body, headers = json.loads(row["body"])
        return Answer(row["status"], body, {**headers, "Idempotent-Replayed": "true"})

    def _do(self, asked: Asked, request_id: str, key: str) -> dict[str, Any]:
        template, handler, ids = match(asked.method, asked.path)
        v2 = template.startswith("/v2/")
        params = streams.parameters(asked.body) if v2 and asked.method == "POST" else self._form(asked)
        if not v2:
            params = checks.request(asked.method, template, params)
        call = Call(self.world, template, asked.path, ids, params, request_id, key, asked.headers)
        found = expand.expanded(self.world.store, handler(call), params.get("expand", []))
        if not v2:
            checks.answer(asked.method, template, found)
        return found

    def _form(self, asked: Asked) -> dict[str, Any]:
        given = forms.nested(asked.query)
        if asked.method == "GET":
            return given
        try:
            return {**given, **forms.nested(asked.body.decode("utf-8"))}
        except UnicodeDecodeError:
            raise Refusal("Invalid request body: not UTF-8.", keep=False) from None

    def _limit(self) -> None:
        """So many requests in a second of Stripe's time, when `/_control/limit` has set a number."""
        store = self.world.store
        with store.lock:
            limit, now = store.setting("limit", 0), self.world.now
            if now != self.second:
                self.second, self.in_second = now, 0
            self.in_second += 1
            if limit and self.in_second > limit:
                raise too_many("Request rate limit exceeded.")

    def _wait(self, seconds: float) -> None:
        """A delay, which ends early when the faults are cleared."""
        store = self.world.store
        deadline, seen = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            with store.lock:
                cleared = store.setting("faults_cleared", 0)
            if seen not in (None, cleared):
                return
            seen = cleared
            time.sleep(0.02)

    def _claim(self, asked: Asked) -> str:
        if (asked.method, asked.path) != ("POST", ONE_AT_A_TIME):
            return ""
        claim = meter_events.in_flight_key(forms.nested(asked.body.decode("utf-8", "replace")))
        with self.lock:
            if claim in self.in_flight:
                raise too_many(
                    "This object cannot be accessed right now because another API request or Stripe process "
                    "is currently accessing it.", "lock_timeout",
                )  # fmt: skip
            self.in_flight.add(claim)
        return claim


def match(method: str, path: str) -> tuple[str, Handler, dict[str, str]]:
    for (served, template), handler in ROUTES.items():
        found = _pattern(template).fullmatch(path)
        # `/v1/customers/search` is no customer.
        if served == method and found and ((method, path) not in ROUTES or template == path):
            return template, handler, found.groupdict()
    raise Refusal(
        f"Unrecognized request URL ({method}: {path}). The local Stripe does not serve it.",
        status=404, keep=False,
    )  # fmt: skip


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template)))


def _authenticate(asked: Asked) -> None:
    given = asked.headers.get("authorization", "")
    scheme, _, key = given.partition(" ")
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if not key:
        raise unauthorised("You did not provide an API key.")
    if asked.path == streams.STREAM:
        return  # its token is looked at where the events are taken
    if not key.startswith("sk_test_"):
        raise unauthorised(f"Invalid API Key provided: {key[:3]}***. The local Stripe takes sk_test_… only.")


def _fingerprint(asked: Asked) -> str:
    text = f"{asked.method} {asked.path}?{asked.query}\n".encode() + asked.body
    return hashlib.sha256(text).hexdigest()


def _refused(refusal: Refusal) -> Answer:
    body = refusal.body()
    checks.named("error", body)
    return Answer(refusal.status, body, dict(refusal.headers))
