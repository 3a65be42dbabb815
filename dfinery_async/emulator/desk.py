"""What the page shows, and what can be done from it: plain values, ready for JSON.

Lists come newest first and a page at a time. They may take a while, so a thread beside the server's makes them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dfinery_async.emulator.faults import Fault
from dfinery_async.emulator.limits import FAMILIES
from dfinery_async.emulator.outline import lines_of, marked, sent
from dfinery_async.emulator.profiles import IDENTITY_FIELDS
from dfinery_async.emulator.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dfinery_async.emulator.api import Api
    from dfinery_async.emulator.faults import FaultBoard, FaultHandle
    from dfinery_async.emulator.journal import Journal
    from dfinery_async.emulator.profiles import Profile
    from dfinery_async.emulator.records import RequestRecord
    from dfinery_async.emulator.store import Store, StoredEvent

PAGE_SIZE: Final = 50
_SEARCH_SECONDS: Final = 1.0
_NAMES_SHOWN: Final = 3
_EVENTS_OF_A_PROFILE: Final = 20
_TOKEN_HEADERS: Final = frozenset({"access_token", "authorization", "cookie", "proxy-authorization"})

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The emulator as the page sees it.

    Attributes:
        api: the service; its limits and tokens.
        board: the faults.
        journal: the requests.
        store: the events and profiles.
        address: where the emulator answers.
        environment: the variables that point a client here; the page shows them unless a token is the user's own.
        reset: forgets everything.
    """

    api: Api
    board: FaultBoard
    journal: Journal
    store: Store
    address: str
    environment: Mapping[str, str] = field(repr=False)
    reset: Callable[[], None]

    def live(self) -> dict[str, Any]:
        """What changes all the time: counts, limits, faults."""
        settings = self.api.settings
        now = settings.clock()
        totals = self.journal.totals()
        events, profiles = self.store.sizes()
        return {
            "run": self.api.generation,
            "now": now,
            "address": self.address,
            "service_id": settings.service_id,
            "stored": {"events": events, "profiles": profiles},
            "requests": totals.requests,
            "outcomes": totals.outcomes,
            "event_requests": totals.event_requests,
            "events": totals.events,
            "items": totals.items,
            "hit": totals.faults,
            "activity": self.journal.activity(now),
            "quotas": [self._quota(family, now) for family in FAMILIES],
            "faults": [_fault_row(handle) for handle in self.board.handles],
        }

    def connection(self) -> dict[str, Any]:
        """The lines that point a client here; None in place of those with a token of the user's own."""
        settings = self.api.settings
        own = {"DFINERY_IMPORT_TOKEN": settings.import_token, "DFINERY_EXPORT_TOKEN": settings.export_token}
        return {name: None if own.get(name) else value for name, value in self.environment.items()}

    def requests(self, search: str, outcome: str, before: int | None) -> dict[str, Any]:
        """A page of requests; `outcome` is one of a record's, "fault" for those hit by one, or empty for all."""

        def fits(number: int, record: RequestRecord) -> bool:
            if outcome and outcome != ("fault" if outcome == "fault" and record.fault else record.outcome):
                return False
            return _matches(words, lambda: _request_text(number, record))

        words = search.lower().split()
        return _page(self.journal.newest(before), fits, _request_row)

    def request(self, number: int) -> dict[str, Any] | None:
        """All about a request; None when it is not kept."""
        record = self.journal.find(number)
        if record is None:
            return None
        body = record.body
        events: list[Any] = body["events"] if record.family == "events" and record.event_count else []
        head = {name: value for name, value in body.items() if name != "events"} if events else body
        return {
            **_request_row(number, record),
            "wrong": [
                {"field": each.field, "what": each.what, "sent": None if body is None else sent(body, each)}
                for each in record.problems
            ],
            "kept": body is not None,
            "head": marked(lines_of(head), [each for each in record.problems if not each.field.startswith("events[")]),
            "parts": [self._part(place, event, record) for place, event in enumerate(events)],
            "headers": [[name, self._header(name, value)] for name, value in record.headers.items()],
        }

    def events(self, search: str, before: int | None) -> dict[str, Any]:
        """A page of stored events."""
        words = search.lower().split()

        def fits(_number: int, stored: StoredEvent) -> bool:
            return _matches(words, lambda: _text(stored.event))

        return _page(self.store.newest(before), fits, _event_row)

    def event(self, number: int) -> dict[str, Any] | None:
        """All about a stored event; None when there is none of that number."""
        for found, stored in self.store.newest(number + 1):
            if found == number:
                unified_id = stored.person.current.unified_id
                return {
                    **_event_row(number, stored),
                    "unified_id": unified_id,
                    "lines": marked(lines_of(stored.event), []),
                }
        return None

    def profiles(self, search: str, before: int | None) -> dict[str, Any]:
        """A page of profiles; the last that were made come first."""
        words = search.lower().split()

        def fits(_number: int, profile: Profile) -> bool:
            return _matches(words, lambda: _text([profile.unified_id, profile.identities, profile.properties]))

        return _page(self.store.newest_profiles(before), fits, _profile_row)

    def profile(self, unified_id: str) -> dict[str, Any] | None:
        """All about a profile, with its latest events; None when there is none of that id."""
        for number, profile in self.store.newest_profiles():
            if profile.unified_id == unified_id:
                page = _page(
                    self.store.newest(),
                    lambda _, stored: stored.person.current.unified_id == unified_id,
                    _event_row,
                    _EVENTS_OF_A_PROFILE,
                )
                return {
                    **_profile_row(number, profile),
                    "identities": marked(lines_of(dict(profile.identities)), []),
                    "properties": marked(lines_of(dict(profile.properties)), []),
                    "events": page["rows"],
                }
        return None

    def inject(self, text: str) -> None:
        """Put a fault in force, given in the form of the command line.

        Raises:
            ValueError: the text can't be read.
        """
        self.board.inject(Fault.parse(text))

    def remove(self, number: int) -> bool:
        """Take a fault away; whether there was one of that number."""
        found = [handle for handle in self.board.handles if handle.number == number]
        for handle in found:
            handle.remove()
        return bool(found)

    def _quota(self, family: str, now: float) -> dict[str, Any]:
        seen = self.api.limiter.look(family, self.api.settings)
        if seen is None:
            return {"family": family, "calls": None}
        quota, left, reset = seen
        return {
            "family": family,
            "calls": quota.calls,
            "period": f"{quota.count} {quota.unit}",
            "left": left,
            "seconds": None if reset is None else max(0.0, reset - now),
        }

    def _part(self, place: int, event: Any, record: RequestRecord) -> dict[str, Any]:
        path = f"events[{place}]"
        problems = [each for each in record.problems if each.field == path or each.field.startswith(f"{path}.")]
        name = event.get("event_name") if is_object(event) else None
        return {
            "path": path,
            "name": str(name) if name else "without a name",
            "wrong": len(problems),
            "lines": marked(lines_of(event, path), problems),
        }

    def _header(self, name: str, value: str) -> str:
        """A header's value; of a token no more than whether it is valid."""
        if name not in _TOKEN_HEADERS:
            return value
        tokens = self.api.import_tokens if name == "access_token" else self.api.export_tokens
        return "(a valid token)" if value.removeprefix("Bearer ") in tokens else "(no valid token)"


def _page(
    entries: Iterable[tuple[int, _Entry]],
    fits: Callable[[int, _Entry], bool],
    row: Callable[[int, _Entry], dict[str, Any]],
    size: int = PAGE_SIZE,
) -> dict[str, Any]:
    """The first entries that fit, and the number below which there may be more, if any.

    A search through much ends after a while, with what it has found until then.
    """
    rows: list[dict[str, Any]] = []
    until = time.monotonic() + _SEARCH_SECONDS
    for number, entry in entries:
        if len(rows) == size:
            return {"rows": rows, "before": number + 1}
        if fits(number, entry):
            rows.append(row(number, entry))
        if time.monotonic() > until:
            return {"rows": rows, "before": number}
    return {"rows": rows, "before": None}


def _matches(words: list[str], text: Callable[[], str]) -> bool:
    if not words:
        return True
    found = text().lower()
    return all(word in found for word in words)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _request_text(number: int, record: RequestRecord) -> str:
    facts = (f"#{number}", record.method, record.path, record.status, record.code, record.message, record.fault)
    return " ".join([*map(str, facts), *(each.field for each in record.problems), _text(record.body)])


def _request_row(number: int, record: RequestRecord) -> dict[str, Any]:
    return {
        "number": number,
        "at": record.at,
        "method": record.method,
        "path": record.path,
        "family": record.family,
        "who": _who(record.identity),
        "what": _what(record),
        "events": record.event_count,
        "items": record.item_count,
        "outcome": record.outcome,
        "status": record.status,
        "code": record.code,
        "message": record.message,
        "fault": record.fault,
        "problems": len(record.problems),
    }


def _event_row(number: int, stored: StoredEvent) -> dict[str, Any]:
    event = stored.event
    return {
        "number": number,
        "at": stored.arrived / 1000,
        "name": event["event_name"],
        "who": _who(event["identity"]),
        "when": event["event_datetime"],
        "properties": len(event.get("event_properties") or ()),
        "items": len(event.get("event_items") or ()),
        "together": stored.together,
        "log_id": event["event_log_id"],
    }


def _profile_row(number: int, profile: Profile) -> dict[str, Any]:
    return {
        "number": number,
        "unified_id": profile.unified_id,
        "who": _who(profile.identities),
        "known": [name for name in IDENTITY_FIELDS if name in profile.identities],
        "properties": len(profile.properties),
        "names": list(profile.properties)[:_NAMES_SHOWN],
    }


def _fault_row(handle: FaultHandle) -> dict[str, Any]:
    fault = handle.fault
    return {
        "number": handle.number,
        "text": str(fault),
        "kind": fault.kind,
        "hits": handle.hits,
        "rate": fault.rate,
        "seconds": fault.seconds,
        "size": fault.size,
        "match": fault.match if isinstance(fault.match, str) else None,
    }


def _who(identity: Mapping[str, Any] | None) -> list[str] | None:
    """The field that says most about who it is, and its value."""
    for name in IDENTITY_FIELDS:
        if identity and identity.get(name):
            return [name, str(identity[name])]
    return None


def _what(record: RequestRecord) -> list[list[Any]]:
    """What a request is about: names with how often they occur, the most frequent first."""
    body = record.body
    if not is_object(body):
        return []
    events = body.get("events")
    if record.family == "events" and is_array(events):
        names = Counter(str(event.get("event_name") if is_object(event) else event) for event in events)
        counted = [[name, count] for name, count in names.most_common(_NAMES_SHOWN)]
        rest = len(names) - len(counted)
        return [*counted, [f"and {rest} more", 1]] if rest else counted
    properties = body.get("user_properties")
    if is_object(properties):
        return [[name, 1] for name in list(properties)[:_NAMES_SHOWN]]
    if "from_date" in body:
        return [[f"{body['from_date']} to {body.get('to_date')}", 1]]
    return []
