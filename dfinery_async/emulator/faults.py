"""Faults that tests and the command line put in the way of calls."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from dfinery_async.emulator.limits import FAMILIES
from dfinery_async.emulator.shapes import is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FaultKind = Literal[
    "latency", "hang", "status", "code", "html", "redirect", "throttle",
    "reset", "lost_answer", "raw", "truncate", "drip", "poison",
]  # fmt: skip
_KINDS: Final[tuple[str, ...]] = get_args(FaultKind)

_STATUSES: Final = range(200, 600)
_STATUS_DIGITS: Final = 3

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)?")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with some calls.

    Kinds, and the fields that they heed:

    * `latency`: the call waits `seconds` before anything else happens. Adds to other faults.
    * `hang`: no answer, until the caller hangs up.
    * `status`: an answer with the HTTP `status` (500), its body in the form `body`, `retry_after` as a header.
    * `code`: HTTP 200 with a failure `code` (50000) and perhaps `message`; for exports `{"result": "fail", ...}`.
    * `html`: HTTP 200 with a login page.
    * `redirect`: HTTP `status` (307) to `location`.
    * `throttle`: over the limit, in the form that the settings choose, with a reset `seconds` from now (else the
      window's).
    * `reset`: the connection is reset before the call is read.
    * `lost_answer`: the call is carried out, then the connection is closed without an answer.
    * `raw`: the bytes `payload` in place of an answer, then the connection is closed.
    * `truncate`: the answer stops after `size` bytes, in the form `form`.
    * `drip`: the body of the answer comes byte by byte, `seconds` apart.
    * `poison`: events of which the log id, the name, a property's name or a value equals `match` (or for which it
      returns true) are refused with 40001.

    `status`, `code`, `html`, `redirect` and `raw` answer in place of the API; with `processed` the call is carried
    out all the same, and only its answer is another.

    Attributes:
        kind: what goes wrong.
        family: only calls of "events", "identities", "profiles" or "exports".
        path: only calls of this path.
        rate: the chance that a call is hit.
        times: how many calls are hit at most.
        after: how many calls that fit pass before the first is hit.
        seconds: see `latency` and `throttle`.
        status: see `status` and `redirect`.
        body: "json" (the API's failure), "html", "empty" or "broken" (JSON that stops half-way).
        retry_after: value of a `Retry-After` header.
        code: see `code`.
        message: message beside the code.
        processed: whether the call is carried out before the wrong answer.
        location: see `redirect`.
        payload: see `raw`.
        size: see `truncate`.
        form: "chunked" leaves out the last chunk; "reset" does so with a reset; "close" ends an answer whose end is the
            connection's, so that nobody can tell; "json" writes the API's `client_connection_closed` after the rows
            and ends in good order.
        match: see `poison`.
    """

    kind: FaultKind
    family: str | None = None
    path: str | None = None
    rate: float = 1.0
    times: int | None = None
    after: int = 0
    seconds: float = 0.0
    status: int | None = None
    body: Literal["json", "html", "empty", "broken"] = "json"
    retry_after: str | None = None
    code: int = 50000
    message: str | None = None
    processed: bool = False
    location: str = "https://elsewhere.invalid/"
    payload: bytes = b""
    size: int = 0
    form: Literal["chunked", "close", "reset", "json"] = "chunked"
    match: str | Callable[[Mapping[str, Any]], bool] | None = None

    def __post_init__(self) -> None:
        """Refuse kinds that do not exist.

        Raises:
            ValueError: the kind or a value makes no fault.
        """
        if self.kind not in _KINDS:
            raise ValueError(f"fault {self.kind!r}: expected one of {', '.join(_KINDS)}")
        if self.family not in {None, *FAMILIES}:
            raise ValueError(f"fault {self.kind}: family {self.family!r} is none of {', '.join(FAMILIES)}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"fault {self.kind}: rate {self.rate} is not between 0 and 1")
        if self.status is not None and not _STATUSES.start <= self.status < _STATUSES.stop:
            raise ValueError(f"fault {self.kind}: status {self.status} is not HTTP's; `raw` can send it")
        if self.kind == "poison" and self.match is None:
            raise ValueError("fault poison: match is missing")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read the command line's form: `KIND[=VALUE][,OPTION=VALUE]...`.

        The value is what the kind is about, or else its rate: `latency=50ms`, `5xx=2%` or `5xx=0.02`, `status=503`,
        `code=50000`, `reset=1%`, `lost_answer=0.5%`, `throttle=5s`, `truncate=4096`, `drip=10ms`, `poison=df_bad`,
        `redirect=1%`.
        Options are the fields of a fault: `reset=1%,family=events,times=3`.

        Raises:
            ValueError: the text can't be read; the message names the part.
        """
        first, *options = [part.strip() for part in text.split(",")]
        kind, equals, value = first.partition("=")
        values: dict[str, Any] = {}
        main = "rate" if value.endswith("%") else _MAIN_OPTIONS.get(kind, "rate")
        if kind == "5xx":
            kind, values["status"] = "status", 500
            main = "status" if value.isdecimal() and len(value) == _STATUS_DIGITS else "rate"
        if equals:
            values[main] = _option(main, value)
        for option in options:
            name, equals, value = option.partition("=")
            if not equals or name not in _OPTION_NAMES:
                raise ValueError(f"fault {text!r}: {option!r} is no option of a fault")
            values[name] = _option(name, value)
        if kind not in _KINDS:
            raise ValueError(f"fault {text!r}: expected one of 5xx, {', '.join(_KINDS)}")
        return cls(cast("FaultKind", kind), **values)

    def __str__(self) -> str:
        """The form that `parse` reads; a `match` or a `payload` made in code has none there."""
        main = _MAIN_OPTIONS.get(self.kind, "rate")
        texts: dict[str, str] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in {"kind", "payload"} and value != each.default:
                texts[each.name] = _option_text(each.name, value)
        first = texts.pop(main, None)
        if first is None and texts.get("rate", "").endswith("%"):
            first = texts.pop("rate")
        head = self.kind if first is None else f"{self.kind}={first}"
        return ",".join([head, *(f"{name}={text}" for name, text in texts.items())])

    def poisons(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is one that this fault has refused."""
        match = self.match
        if match is None:
            return False
        if not isinstance(match, str):
            return match(event)
        if match in {event.get("event_log_id"), event.get("event_name")}:
            return True
        properties = event.get("event_properties")
        return is_object(properties) and any(match in pair for pair in properties.items())


# The option that `KIND=VALUE` sets, unless the value is a percentage.
_MAIN_OPTIONS = {
    "latency": "seconds", "throttle": "seconds", "drip": "seconds", "status": "status", "code": "code",
    "truncate": "size", "poison": "match", "redirect": "location",
}  # fmt: skip
_OPTION_NAMES = frozenset(each.name for each in fields(Fault)) - {"kind", "payload"}


_EXPECTED = {
    "rate": "a share such as 2% or 0.02", "seconds": "a time such as 50ms or 5s", "times": "a whole number",
    "after": "a whole number", "status": "an HTTP status such as 503", "code": "a code such as 50000",
    "size": "a number of bytes", "processed": "true or false", "body": "json, html, empty or broken",
    "form": "chunked, close, reset or json",
}  # fmt: skip


def _option(name: str, text: str) -> Any:  # noqa: PLR0911  # one line for each type of option
    try:
        match name:
            case "rate":
                return float(text[:-1]) / 100 if text.endswith("%") else float(text)
            case "seconds":
                duration = _DURATION.fullmatch(text)
                return float(duration[1]) * _DURATION_UNITS[duration[2]] if duration else float(text)
            case "times" | "after" | "status" | "code" | "size":
                return int(text)
            case "processed":
                return {"true": True, "false": False}[text.lower()]
            case "body":
                return {each: each for each in ("json", "html", "empty", "broken")}[text]
            case "form":
                return {each: each for each in ("chunked", "close", "reset", "json")}[text]
            case _:
                return text
    except (KeyError, ValueError):
        raise ValueError(f"fault: {name}={text!r} can't be read; expected {_EXPECTED[name]}") from None


def _option_text(name: str, value: Any) -> str:
    if name == "rate":
        percent = f"{value * 100:g}%"
        return percent if float(percent[:-1]) / 100 == value else repr(value)
    if name == "seconds":
        short = f"{value * 1000:g}ms" if value < 1 else f"{value:g}s"
        return short if _DURATION.fullmatch(short) and _option(name, short) == value else repr(value)
    return f"<{value.__name__}>" if callable(value) else str(value).lower() if isinstance(value, bool) else str(value)


class FaultHandle:
    """A fault that is in force.

    Attributes:
        fault: the fault.
        number: tells it from the others.
        hits: how many calls it has hit.
    """

    def __init__(self, fault: Fault, number: int, board: FaultBoard) -> None:
        self.fault = fault
        self.number = number
        self.hits: int = 0
        self._fitting = 0
        self._board = board

    def remove(self) -> None:
        """Take the fault away; does nothing when it is gone."""
        self._board.remove(self)

    def fires(self, chance: random.Random) -> bool:
        """Whether the fault hits a call that fits its family and path; keeps count."""
        fault = self.fault
        self._fitting += 1
        if self._fitting <= fault.after or (fault.times is not None and self.hits >= fault.times):
            return False
        if fault.rate < 1 and chance.random() >= fault.rate:
            return False
        self.hits += 1
        return True


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong with one call.

    Attributes:
        seconds: the latency.
        fault: the first other fault that hits it.
        poisons: faults that look at its events.
    """

    seconds: float = 0.0
    fault: Fault | None = None
    poisons: tuple[FaultHandle, ...] = ()

    @property
    def name(self) -> str | None:
        """The kind to keep in the record of the call."""
        return self.fault.kind if self.fault else "latency" if self.seconds else None


_NO_FAULT = Plan()


class FaultBoard:
    """The faults in force. Test threads change it while the server's thread reads it."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311  # chance that repeats from run to run
        self._handles: tuple[FaultHandle, ...] = ()
        self._issued = 0

    @property
    def handles(self) -> tuple[FaultHandle, ...]:
        """The faults in force, in order of their coming."""
        return self._handles

    def inject(self, fault: Fault) -> FaultHandle:
        """Put a fault in force."""
        with self._lock:
            self._issued += 1
            handle = FaultHandle(fault, self._issued, self)
            self._handles = (*self._handles, handle)
        return handle

    def remove(self, handle: FaultHandle) -> None:
        """Take a fault away."""
        with self._lock:
            self._handles = tuple(each for each in self._handles if each is not handle)

    def reset(self) -> None:
        """Take all faults away, and begin the random numbers anew."""
        with self._lock:
            self._handles = ()
            self._random = random.Random(self._seed)  # noqa: S311

    def plan(self, family: str, path: str) -> Plan:
        """What goes wrong with a call."""
        if not self._handles:
            return _NO_FAULT
        with self._lock:
            plan = _NO_FAULT
            for handle in self._handles:
                fault = handle.fault
                if fault.family not in {None, family} or fault.path not in {None, path}:
                    continue
                if fault.kind == "poison":
                    plan = replace(plan, poisons=(*plan.poisons, handle))
                elif fault.kind == "latency":
                    if handle.fires(self._random):
                        plan = replace(plan, seconds=plan.seconds + fault.seconds)
                elif plan.fault is None and handle.fires(self._random):
                    plan = replace(plan, fault=fault)
            return plan

    def poisoned(self, plan: Plan, events: Sequence[Any]) -> frozenset[int]:
        """The places of the events that faults of the plan have refused; a fault hits each call once."""
        places: set[int] = set()
        with self._lock:
            for handle in plan.poisons:
                mine = [place for place, event in enumerate(events) if is_object(event) and handle.fault.poisons(event)]
                if mine and handle.fires(self._random):
                    places.update(mine)
        return frozenset(places)
