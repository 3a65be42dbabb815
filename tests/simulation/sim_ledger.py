"""What really happened in a simulation, and the checkers that compare it with what the client promises.

Each checker has a name. A broken promise is noted under it and the simulation goes on, as the far end must not raise
what no server could.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Any

import msgspec

from dfinery_async import Identity, Receipt

__all__ = ["CHECKS", "EVENT", "IDENTITY", "PROFILE", "Attempt", "End", "Ledger", "User"]

CHECKS = {
    "lost": "what was accepted is delivered, rejected with a reason, or dropped by the user's own choice",
    "untrue": "delivered was applied, rejected was refused, dropped was asked for",
    "grouping": "a request holds work of one exact identity, handed in, once, and nothing else",
    "size": "a request holds at most 100 events, 100 items and max_batch_bytes",
    "order": "first deliveries of a user's work come in the order of the calls",
    "duplicate": "twice only after an ambiguous answer",
    "bytes": "a repeated request has the same bytes; the halves of a refused one have the same units",
    "books": "accepted == delivered + rejected + dropped + spooled + pending, at every step, and true",
    "waiter": "whoever waits comes back, flush, aclose and delivery_timeout in time",
    "leak": "no task, slot, timer, future or lane is left",
    "two in air": "one request of a user in the air",
    "pace": "the quota is not overrun, and no wait is longer than its window",
    "crash": "the engine goes on",
}

EVENT, PROFILE, IDENTITY = 0, 1, 2

CALLING, ACCEPTED, REFUSED, UNKNOWN = 0, 1, 2, 3
"""How a call to the producer went. UNKNOWN: its caller was cancelled."""


class End(enum.Enum):
    """What the client knows of a request when it has come to its end."""

    DONE = "done"
    REFUSED = "refused"  # in a way that divides it
    HELD = "held"  # not processed, for a reason that passes
    DOUBT = "doubt"


class User:
    __slots__ = ("applied_to", "as_json", "calls", "doubts", "flying", "in_air", "owner", "refused", "who")

    def __init__(self, who: Identity | str, as_json: dict[str, str], owner: int) -> None:
        self.who = who
        self.as_json = as_json
        self.owner = owner  # number of its producer
        self.in_air = 0
        self.flying: Attempt | None = None  # the last request of it, until that has come to its end
        self.applied_to = -1  # the last unit applied for the first time
        self.calls: list[int] = []  # profiles and identities only
        self.doubts: list[Attempt] = []  # requests of which the client cannot know what became of them
        self.refused = False  # the API takes no identity of it


class Attempt:
    """One request as the far end sees it."""

    __slots__ = ("body", "divided", "kind", "raw", "units", "user")

    def __init__(self, kind: int, user: User, units: list[int], body: bytes) -> None:
        self.kind = kind
        self.user = user
        self.units = units
        self.body = body
        self.divided = False


class _WireEvent(msgspec.Struct):
    event_log_id: str
    event_items: list[msgspec.Raw] | None = None


class _Common(msgspec.Struct):
    identity: msgspec.Raw


class _WireEvents(msgspec.Struct):
    common: _Common
    events: list[_WireEvent]


class _RawEvents(msgspec.Struct):
    events: list[msgspec.Raw]


class _WireProfile(msgspec.Struct):
    identity: msgspec.Raw
    user_properties: dict[str, Any]


class _WireIdentity(msgspec.Struct):
    identity: msgspec.Raw
    request_datetime: str


_read_events = msgspec.json.Decoder(_WireEvents).decode
_read_raw_events = msgspec.json.Decoder(_RawEvents).decode
_read_profile = msgspec.json.Decoder(_WireProfile).decode
_read_identity = msgspec.json.Decoder(_WireIdentity).decode


class Ledger:
    """All units of one simulation, numbered in the order of the calls."""

    def __init__(self) -> None:
        self.broken: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()  # what happened, to show that it did
        self.first: list[str] = []
        self.users: list[User] = []
        self.user_of: list[User] = []
        self.kind_of = bytearray()
        self.call_of = bytearray()
        self.called_at: dict[int, float] = {}
        self.receipts: list[Receipt | None] = []
        self.number_of: dict[str, int] = {}  # by event_log_id
        self.poison: set[int] = set()
        self.applied: set[int] = set()
        self.applied_of: list[int] = []  # by producer
        self.accepted_of: list[int] = []
        self.called_of: list[int] = []
        self.doubtful: set[int] = set()  # of which an application went without a clear answer
        self.moments: dict[str, int] = {}  # the identity call that was given this request_datetime
        self.max_bytes: list[int] = []
        self._by_key: dict[bytes, User] = {}
        self._run_of: dict[int, list[int]] = {}

    def breaks(self, check: str, text: str) -> None:
        assert check in CHECKS
        self.broken[check] += 1
        if len(self.first) < 20:
            self.first.append(f"{check}: {text}")

    def producer(self, max_bytes: int) -> int:
        for counts in (self.applied_of, self.accepted_of, self.called_of):
            counts.append(0)
        self.max_bytes.append(max_bytes)
        return len(self.max_bytes) - 1

    def call(self, user: User, kind: int) -> int:
        """Number a call that is about to be made."""
        number = len(self.receipts)
        self.user_of.append(user)
        self.kind_of.append(kind)
        self.call_of.append(CALLING)
        self.receipts.append(None)
        self.called_of[user.owner] += 1
        if kind == IDENTITY or user.calls:
            user.calls.append(number)
        return number

    def accepted(self, number: int, receipt: Receipt) -> None:
        self.receipts[number] = receipt
        self.call_of[number] = ACCEPTED
        self.accepted_of[self.user_of[number].owner] += 1

    def refuse(self, number: int) -> None:
        self.call_of[number] = REFUSED

    def unknown(self, number: int) -> None:
        self.call_of[number] = UNKNOWN

    # What arrives.

    def read(self, path: str, body: bytes) -> Attempt | None:
        """Read a request and check what every request must hold."""
        try:
            attempt = self._read(path, body)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            self.breaks("grouping", f"{path} with what nobody handed in: {error!r}")
            return None
        units, user = attempt.units, attempt.user
        if len(set(units)) != len(units):
            self.breaks("grouping", f"{len(units)} units in a request, some of them twice")
        if any(self.user_of[unit] is not user or self.kind_of[unit] != attempt.kind for unit in units):
            self.breaks("grouping", f"work of others in a request: {units}")
        if len(units) > 1 and len(body) > self.max_bytes[user.owner]:
            self.breaks("size", f"{len(body)} bytes where {self.max_bytes[user.owner]} are the most")
        return attempt

    def _read(self, path: str, body: bytes) -> Attempt:
        if path == "/api/v1/events":
            wire = _read_events(body)
            user = self._user(bytes(wire.common.identity))
            number_of = self.number_of
            units = [number_of[event.event_log_id] for event in wire.events]
            if not 1 <= len(units) <= 100:
                self.breaks("size", f"{len(units)} events in a request")
            items = sum([len(event.event_items) for event in wire.events if event.event_items])
            if items > 100:
                self.breaks("size", f"{items} items in a request")
            return Attempt(EVENT, user, units, body)
        if path == "/api/v1/user-profile":
            profile = _read_profile(body)
            user = self._user(bytes(profile.identity))
            properties = profile.user_properties
            last = properties.pop("last")
            units = [int(name) for name in properties]
            if not units or last != units[-1] or units != sorted(units) or list(properties.values()) != units:
                self.breaks("grouping", f"merged wrongly: {properties}")
            return Attempt(PROFILE, user, units, body)
        if path != "/api/v1/identities":
            raise ValueError("no such call")
        identity = _read_identity(body)
        user = self._user(bytes(identity.identity))
        return Attempt(IDENTITY, user, self._run(user, self.moments[identity.request_datetime]), body)

    def _user(self, key: bytes) -> User:
        user = self._by_key.get(key)
        if user is None:
            as_json = msgspec.json.decode(key)
            user = self._by_key[key] = next(user for user in self.users if user.as_json == as_json)
        return user

    def _run(self, user: User, last: int) -> list[int]:
        """Which identity calls a request covers: the neighbours before the one whose moment it bears."""
        run = self._run_of.get(last)
        if run is None:
            run = []
            for number in reversed(user.calls[: user.calls.index(last) + 1]):
                unknown = self.call_of[number] == UNKNOWN
                if number in self.applied or number < user.applied_to:
                    break  # all that was accepted before has its fate
                if self.settled(number) and not unknown:
                    continue  # rejected, dropped or never accepted
                if self.kind_of[number] == IDENTITY:
                    run.append(number)
                elif not unknown:
                    break
            run.reverse()
            self._run_of[last] = run
        return [number for number in run if self.call_of[number] == UNKNOWN or not self.settled(number)]

    def settled(self, number: int) -> bool:
        """Whether the client has told its fate, or nobody was there any more to be told."""
        receipt = self.receipts[number]
        return self.call_of[number] in (REFUSED, UNKNOWN) if receipt is None else receipt.done()

    def overdue(self, number: int) -> bool:
        """Whether a unit whose time is over still waits for its turn; one in the air may come to its end."""
        if self.settled(number):
            return False
        attempt = self.user_of[number].flying
        if attempt is None:
            return True
        return number not in attempt.units and not attempt.kind == self.kind_of[number] == IDENTITY  # they merge

    def departs(self, attempt: Attempt) -> None:
        """The client sends a request: after one in doubt, only its repetition may come, or the halves of it."""
        user = attempt.user
        user.in_air += 1
        user.flying = attempt
        if user.in_air > 1:
            self.breaks("two in air", f"{user.in_air} requests of one user in the air")
        while user.doubts:
            before = user.doubts[-1]
            if before.body == attempt.body:
                self.seen["repeated after a doubt, same bytes"] += 1
                return
            if not self._certain(attempt).isdisjoint(before.units):
                self._check_part(before, attempt)
                return
            if all(map(self.settled, before.units)):
                user.doubts.pop()
                continue
            self.breaks("order", f"units {attempt.units} overtake {before.units}, whose request is in doubt")
            return

    def _certain(self, attempt: Attempt) -> set[int]:
        """The units that it certainly carries. One for identities tells only the last; others may not have come in."""
        if attempt.kind != IDENTITY:
            return set(attempt.units)
        return {unit for unit in attempt.units if self.call_of[unit] != UNKNOWN}.union(attempt.units[-1:])

    def _check_part(self, before: Attempt, attempt: Attempt) -> None:
        certain = self._certain(before)
        if attempt.kind != IDENTITY and attempt.units == before.units:
            self.breaks("bytes", f"{attempt.units} repeated with other bytes")
        elif not self._certain(attempt) <= set(before.units):
            self.breaks("bytes", f"{attempt.units} repeats {before.units} with more")
        elif not before.divided and not all(map(self.settled, certain - set(attempt.units))):
            self.breaks("bytes", f"{attempt.units} repeats {before.units} without all of it")
        elif attempt.kind == EVENT:
            pieces = {bytes(raw) for raw in _read_raw_events(before.body).events}
            if any(bytes(raw) not in pieces for raw in _read_raw_events(attempt.body).events):
                self.breaks("bytes", f"{attempt.units}: an event has other bytes than before")

    def returns(self, attempt: Attempt, end: End) -> None:
        """A request has come to its end for the client."""
        user = attempt.user
        user.in_air -= 1
        user.flying = None
        known = bool(user.doubts) and user.doubts[-1].body == attempt.body
        if end is End.DONE:
            if known:
                user.doubts.pop()
        elif end is End.DOUBT:
            if not known:
                user.doubts.append(attempt)
        elif end is End.REFUSED:
            units = set(attempt.units)
            self.seen["request divided" if len(units) > 1 else "unit refused"] += 1
            for before in user.doubts:
                before.divided |= not units.isdisjoint(before.units)

    def apply(self, attempt: Attempt, *, doubtful: bool, given_up: bool = False) -> None:
        """The API does what a request says."""
        user, units = attempt.user, attempt.units
        if units and not given_up and units[0] > user.applied_to and units == sorted(units):
            self.applied.update(units)
            user.applied_to = units[-1]
            self.applied_of[user.owner] += len(units)
        else:
            for unit in units:
                self._apply_one(user, unit, given_up=given_up)
        if doubtful:
            self.doubtful.update(units)

    def _apply_one(self, user: User, unit: int, *, given_up: bool) -> None:
        if unit in self.applied:
            if unit not in self.doubtful and not given_up:
                self.breaks("duplicate", f"unit {unit} again, though its request had been confirmed")
            self.seen["applied twice, after a doubt"] += 1
            return
        if given_up:
            self.seen["applied first when it was given up"] += 1
        self.applied.add(unit)
        self.applied_of[user.owner] += 1
        if unit < user.applied_to:
            if not (given_up and self.settled(unit)):
                self.breaks("order", f"unit {unit} after {user.applied_to} of the same user")
        else:
            user.applied_to = unit
