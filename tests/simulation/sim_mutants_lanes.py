"""Defects of what an answer means, of the lanes and of the bodies of requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from sim_mutant import classified, mutant

from dfinery_async.core import codec, lanes, work
from dfinery_async.core.lane import Lane
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.runtime import gateway

__all__: list[str] = []

_Lanes = lanes.Lanes


# Taken as done.


@mutant("acknowledged before it is sent", caught_by={"books", "lost", "untrue"}, within=3)
def _ack_before_send(put: Any) -> None:
    send = gateway.Gateway.send

    async def early(self: Any, endpoint: Any, body: bytes) -> Outcome:
        self.later = asyncio.create_task(send(self, endpoint, body))
        return Outcome(Verdict.DELIVERED)

    put(gateway.Gateway, "send", early)


@mutant("a 500 taken as done", caught_by={"books", "lost", "untrue"}, within=40)
def _500_as_done(put: Any) -> None:
    classified(put, lambda status, _, meant: Outcome(Verdict.DELIVERED) if status == 500 else meant)


@mutant("a 200 taken as done without reading its status", caught_by={"books", "lost", "untrue"}, within=10)
def _200_as_done(put: Any) -> None:
    classified(put, lambda status, _, meant: Outcome(Verdict.DELIVERED) if status == 200 else meant)


@mutant("an unreadable answer taken as done", caught_by={"books", "lost", "untrue"}, within=20)
def _unreadable_as_done(put: Any) -> None:
    classified(put, lambda status, body, meant: Outcome(Verdict.DELIVERED) if b"{" not in body else meant)


@mutant("a refused token taken as a bad event", caught_by={"lost"}, within=150)
def _token_as_refusal(put: Any) -> None:
    refused = {Verdict.UNAUTHORIZED, Verdict.MISCONFIGURED}
    classified(put, lambda _, __, meant: Outcome(Verdict.REFUSED, meant.error) if meant.verdict in refused else meant)


# Lanes.


@mutant("two requests of one user in the air", caught_by={"two in air"}, within=3)
def _two_in_air(put: Any) -> None:
    take = _Lanes.take

    def free(self: Any, family: Any, now: float, **kind: Any) -> Any:
        batch = take(self, family, now, **kind)
        if batch is not None and isinstance(lane := self._users[batch.key], Lane) and lane.waiting:
            lane.in_air = False
            self._stand(lane, now)
        return batch

    put(_Lanes, "take", free)


@mutant("150 events in a request", caught_by={"size"}, within=20)
def _large_batches(put: Any) -> None:
    _caps(put, events=150)


@mutant("items not counted", caught_by={"size"}, within=30)
def _items_uncounted(put: Any) -> None:
    _caps(put, items=10_000)


@mutant("bytes not counted", caught_by={"size"}, within=30)
def _bytes_uncounted(put: Any) -> None:
    _caps(put, bytes=2**40)


def _caps(put: Any, **wrong: int) -> None:
    begin = _Lanes.__init__

    def wide(self: Any, caps: Any, **options: Any) -> None:
        begin(self, caps, **options)
        for name, value in wrong.items():
            setattr(caps, name, value)

    put(_Lanes, "__init__", wide)


@mutant("a neighbour's event in one of 1,000", caught_by={"grouping"}, within=20)
def _neighbours(put: Any) -> None:
    body = work.Batch.body
    seen = Counter[str]()
    last: dict[bytes, bytes] = {}

    def mixed(self: Any) -> bytes:
        if self.works[0].family != "events":
            return body(self)
        payloads = [one.payload for one in self.works]
        seen["events"] += len(payloads)
        others = [payload for key, payload in last.items() if key != self.key]
        if others and seen["events"] >= 1000:
            seen["events"] -= 1000
            payloads[-1] = others[0]
        last.clear()
        last[self.key] = self.works[-1].payload
        return codec.events_body(self.key, payloads)

    put(work.Batch, "body", mixed)


@mutant("users told apart by external_id alone", caught_by={"grouping"}, within=12)
def _identity_cut(put: Any) -> None:
    encode = codec.encode_identity

    def short(identity: Any) -> bytes:
        text = identity.external_id
        return encode(identity if text is None else type(identity)(external_id=text))

    put(codec, "encode_identity", short)


@mutant("a request to repeat goes to the end of its lane", caught_by={"order"}, within=12)
def _repeat_last(put: Any) -> None:
    put_back = _Lanes.put_back

    def behind(self: Any, batch: Any, now: float, not_before: float = float("-inf")) -> None:
        lane = self._lane(batch.key)
        if lane.front or not lane.waiting:
            put_back(self, batch, now, not_before)
            return
        lane.in_air = True
        for one in batch.works:
            self.add(batch.key, one, now)
        lane.in_air = False
        self._stand(lane, now, not_before)

    put(_Lanes, "put_back", behind)


@mutant("a profile overtakes the events before it", caught_by={"order", "bytes"}, within=12)
def _profiles_first(put: Any) -> None:
    add = _Lanes.add

    def first(self: Any, key: bytes, one: Any, now: float) -> None:
        add(self, key, one, now)
        lane = self._users[key]
        if one.family == "profiles" and isinstance(lane, Lane) and lane.in_air:
            lane.waiting.insert(0, lane.waiting.pop())

    put(_Lanes, "add", first)


@mutant("earlier values win in merged profiles", caught_by={"grouping"}, within=30)
def _earlier_wins(put: Any) -> None:
    body = work.Batch.body

    def backwards(self: Any) -> bytes:
        if self.works[0].family != "profiles":
            return body(self)
        merged: dict[str, Any] = {}
        for one in self.works:
            merged = {**one.payload, **merged}
        return codec.profile_body(self.key, merged, self.works[-1].moment)

    put(work.Batch, "body", backwards)


@mutant("a repeated request takes in what came meanwhile", caught_by={"bytes"}, within=20)
def _repeat_more(put: Any) -> None:
    put_back = _Lanes.put_back

    def thawed(self: Any, batch: Any, now: float, not_before: float = float("-inf")) -> None:
        lane = self._lane(batch.key)
        room = lane.waiting and not lane.front and len(batch.works) < self.caps.events
        if room and lane.waiting[0].family == batch.works[0].family and lane.waiting[0].items == 0:
            batch.works = [*batch.works, *lane.remove(1)]
        put_back(self, batch, now, not_before)

    put(_Lanes, "put_back", thawed)


@mutant("a repeated request has a new event_log_id", caught_by={"grouping"}, within=12)
def _new_id(put: Any) -> None:
    body = work.Batch.body

    def renamed(self: Any) -> bytes:
        text = body(self)
        mark = b'"event_log_id":"'
        at = text.find(mark) + len(mark)
        if self.attempts == 0 or at < len(mark):
            return text
        return text[:at] + b"%08x" % (self.attempts + 0xABC00000) + text[at + 8 :]

    put(work.Batch, "body", renamed)


@mutant("delivery_timeout does not see behind a request in the air", caught_by={"waiter"}, within=60)
def _late_behind(put: Any) -> None:
    for name in ("_arm", "_give_up_old"):
        step = getattr(_Lanes, name)

        def unless_in_air(self: Any, lane: Any, *now: float, step: Any = step) -> None:
            if not lane.in_air:
                step(self, lane, *now)

        put(_Lanes, name, unless_in_air)


@mutant("dividing drops the tail", caught_by={"lost", "waiter", "books"}, within=30)
def _no_tail(put: Any) -> None:
    halves = work.Batch.halves

    def short(self: Any) -> tuple[Any, Any]:
        left, right = halves(self)
        if len(right.works) > 1:
            right.works = right.works[:-1]
        return left, right

    put(work.Batch, "halves", short)
