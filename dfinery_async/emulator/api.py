"""The six endpoints: what each does with a call, without any network.

The order of the checks: service, token, limit, form of the body, its content. The pages do not tell it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from dfinery_async.emulator import replies, validate
from dfinery_async.emulator.exports import RefusedExportError, export_events, export_profiles
from dfinery_async.emulator.limits import Limiter, limit_headers
from dfinery_async.emulator.replies import Reply, export_failure, import_reply
from dfinery_async.emulator.shapes import is_array, is_object
from dfinery_async.emulator.taxonomy import Registry
from dfinery_async.emulator.validate import Findings, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from dfinery_async.emulator.faults import FaultBoard, Plan
    from dfinery_async.emulator.limits import Standing
    from dfinery_async.emulator.settings import Settings
    from dfinery_async.emulator.store import Store

_EVENTS: Final = "/api/v1/events"
_IDENTITIES: Final = "/api/v1/identities"
_DELETION: Final = "/api/v1/identities/delete"
_PROFILE: Final = "/api/v1/user-profile"
_EVENT_EXPORT: Final = "/api/v1/export/event"
_PROFILE_EXPORT: Final = "/api/v1/export/userprofile"

# Each endpoint with the family whose limit its calls count against ("Request Limit").
ENDPOINTS: Final = {
    _EVENTS: "events",
    _IDENTITIES: "identities",
    _DELETION: "identities",
    _PROFILE: "profiles",
    _EVENT_EXPORT: "exports",
    _PROFILE_EXPORT: "exports",
}

_NO_SERVICE: Final = Problem("service_id", "missing in the address; it goes into the query")
_WRONG_SERVICE: Final = Problem("service_id", "not the service of this emulator")


@dataclass(slots=True)
class Call:
    """A call of an endpoint, and what is learnt of it on the way.

    Attributes:
        path: the endpoint's path.
        query: the query string.
        headers: the headers by lower-case name.
        content: the body as it came.
        plan: the faults that hit it.
        admitted: whether an export found room among those at once.
        body: the parsed body.
        problems: what is wrong with the body.
        standing: where the family's limit stands.
    """

    path: str
    query: bytes
    headers: dict[bytes, bytes]
    content: bytes
    plan: Plan
    admitted: bool = True
    body: Any = None
    problems: list[Problem] = field(default_factory=list[Problem])
    standing: Standing | None = None

    @property
    def family(self) -> str:
        """The family whose limit the call counts against."""
        return ENDPOINTS[self.path]


class Api:
    """The service behind the endpoints.

    Attributes:
        settings: the switches.
        import_tokens: the valid Import tokens; after a reissue the earlier one stays valid for a while.
        export_tokens: the valid Export tokens.
        limiter: counts calls.
        generation: changes when the emulator is reset; calls that came before are not carried out any more.
    """

    def __init__(self, settings: Settings, store: Store, board: FaultBoard) -> None:
        self.settings = settings
        self.import_tokens: set[str] = set()
        self.export_tokens: set[str] = set()
        self.limiter: Limiter = Limiter()
        self.generation: int = 0
        self._store = store
        self._board = board
        self._registry = Registry(settings.taxonomy)
        self._checks: dict[str, Callable[[Any, Settings], Findings]] = {
            _EVENTS: validate.check_events,
            _IDENTITIES: validate.check_identity_body,
            _DELETION: validate.check_deletion,
            _PROFILE: validate.check_profile,
        }

    def answer(self, call: Call) -> Reply:
        """Carry out a call."""
        reply = self._export(call) if call.family == "exports" else self._import(call)
        return self.with_limit(call, reply)

    def with_limit(self, call: Call, reply: Reply) -> Reply:
        """Add the headers that tell of the limit to a reply; a call that was not counted tells of the others."""
        standing = call.standing or self.limiter.take(call.family, 0, self.settings)
        if standing is not None:
            reply.headers.extend(limit_headers(standing, self.settings))
        return reply

    def throttled(self, call: Call) -> Reply:
        """The answer beyond a limit: the pages have HTTP 429 without showing its body, and 40401 with HTTP 200."""
        settings = self.settings
        if call.family == "exports":
            return export_failure(429, "too_many_api_requests")
        if settings.over_limit == "429-empty":
            return Reply(429, b"", [], replies.TOO_MANY_REQUEST)
        status = 429 if settings.over_limit == "429" else 200
        return import_reply(replies.TOO_MANY_REQUEST, settings, status=status)

    def _import(self, call: Call) -> Reply:
        settings = self.settings
        readable = read(call)
        service = _service_id(call.query)
        if service != settings.service_id:
            call.problems = [_WRONG_SERVICE if service else _NO_SERVICE]
        if service is None:
            return import_reply(replies.BAD_REQUEST, settings, status=400)
        if service != settings.service_id:
            return import_reply(replies.INVALID_SERVICE_ID, settings)
        if call.headers.get(b"access_token", b"").decode("latin-1") not in self.import_tokens:
            call.problems = [Problem("access_token", "the header holds no valid Import token")]
            return import_reply(replies.INVALID_TOKEN, settings)
        if not self._within_limit(call):
            return self.throttled(call)
        code = self._load(call) if readable else replies.BAD_REQUEST
        return import_reply(code, settings, status=400 if code == replies.BAD_REQUEST else 200)

    def _load(self, call: Call) -> int:
        if call.path == _EVENTS and (count := event_count(call.body)) > validate.MAX_EVENTS:
            call.problems = [Problem("events", f"{count} events in one request; at most {validate.MAX_EVENTS}")]
            return replies.TOO_MANY_EVENTS
        found = self._checks[call.path](call.body, self.settings)
        if found.bad_request:
            call.problems = found.all()
            return replies.BAD_REQUEST
        accepted = self._load_events(call, found) if call.path == _EVENTS else self._load_person(call, found)
        return replies.OK if accepted else replies.VALIDATION_FAILURE

    def _load_events(self, call: Call, found: Findings) -> bool:
        settings = self.settings
        events: list[Any] = call.body["events"]
        if call.plan.poisons:
            for place in self._board.poisoned(call.plan, events):
                found.by_event.setdefault(place, []).append(
                    Problem(f"events[{place}]", "poisoned by an injected fault")
                )
        dropped: dict[int, Problem] = {}
        for place, event in enumerate(events):
            problem = None if place in found.by_event else self._registry.problem_in_event(event)
            if problem is not None:
                dropped[place] = Problem(f"events[{place}].{problem[0]}", problem[1])
        if settings.unregistered == "reject":
            found.by_event.update((place, [problem]) for place, problem in dropped.items())
            dropped = {}
        call.problems = [*found.all(), *dropped.values()]
        if found.problems or (found.by_event and settings.batches == "whole"):
            return False
        good = [event for place, event in enumerate(events) if place not in found.by_event and place not in dropped]
        if good:
            self._store.add_events(
                call.body["common"]["identity"],
                good,
                arrived=int(settings.clock() * 1000),
                unique=settings.duplicates == "ignore",
            )
        return True

    def _load_person(self, call: Call, found: Findings) -> bool:
        call.problems = found.all()
        if found.problems:
            return False
        identity = call.body["identity"]
        if call.path == _DELETION:
            self._store.delete(identity["external_id"])
        elif call.path == _IDENTITIES:
            self._store.upsert(identity)
        else:
            properties = call.body["user_properties"]
            problem = self._registry.problem_in_profile(properties)
            if problem is None:
                self._store.update(identity, properties)
            else:
                call.problems = [Problem(*problem)]
                return self.settings.unregistered == "drop"
        return True

    def _export(self, call: Call) -> Reply:
        settings = self.settings
        readable = read(call)
        if (service := _service_id(call.query)) != settings.service_id:
            call.problems = [_WRONG_SERVICE if service else _NO_SERVICE]
            return export_failure(400, "invalid_parameter")
        scheme, _, token = call.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or token.strip() not in self.export_tokens:
            call.problems = [Problem("authorization", "the header holds no valid Export token")]
            return export_failure(401, "unauthorized_token")
        if not call.admitted or not self._within_limit(call):
            return self.throttled(call)
        if not readable:
            return export_failure(400, "invalid_parameter")
        export = export_events if call.path == _EVENT_EXPORT else export_profiles
        try:
            body = export(call.body, self._store, settings)
        except RefusedExportError as error:
            call.problems = [Problem(error.field, error.message)]
            return export_failure(400, error.message)
        return Reply(200, body, [(b"content-type", settings.csv_content_type.encode())], None, "OK")

    def _within_limit(self, call: Call) -> bool:
        by_event = self.settings.quota_counts == "events" and call.path == _EVENTS
        cost = max(1, event_count(call.body)) if by_event else 1
        call.standing = self.limiter.take(call.family, cost, self.settings)
        return call.standing is None or call.standing.allowed


def event_count(body: Any) -> int:
    """How many events a body has, whatever its form."""
    events = body.get("events") if is_object(body) else None
    return len(events) if is_array(events) else 0


def _service_id(query: bytes) -> str | None:
    values = parse_qs(query.decode("latin-1")).get("service_id")
    return values[0] if values else None


def read(call: Call) -> bool:
    """Parse the body. `Content-Type: application/json` is required on every page."""
    media_type = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        call.problems = [Problem("", "the content type is not application/json")]
        return False
    try:
        # NaN and infinities pass here, for the checks to name their fields.
        call.body = json.loads(call.content.decode())
    except (ValueError, RecursionError) as error:
        call.problems = [Problem("", f"no JSON: {error}")]
        return False
    return True
