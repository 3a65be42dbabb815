"""What an event has to be like, how far another is from that, and how both are told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Any, Final, Protocol, TypeAlias, TypeGuard

from dfinery_async.emulator.profiles import IDENTITY_FIELDS
from dfinery_async.emulator.shapes import is_array


class IdentityLike(Protocol):
    """The client's `Identity`, which this package does not import."""

    @property
    def external_id(self) -> str | None:
        """The customer's own id."""
        ...


Who: TypeAlias = str | Mapping[str, str] | IdentityLike
"""A text is an external id; a mapping or an `Identity` has the fields that must be the same."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an event has to be like; None leaves a part open.

    Attributes:
        name: its name.
        identity: fields that its identity has to have.
        properties: properties that it has to have among others.
        items: its items in order, each with what it has to have among others.
    """

    name: str | None
    identity: Mapping[str, str] | None
    properties: Mapping[str, Any] | None
    items: Sequence[Mapping[str, Any]] | None

    def differences(self, event: Mapping[str, Any]) -> list[str]:
        """What keeps an event from fitting; empty when it fits."""
        found: list[str] = []
        if self.name is not None and event["event_name"] != self.name:
            found.append(f"name: expected {self.name}, arrived {event['event_name']}")
        found += missing("identity.", self.identity, event["identity"])
        found += missing("", self.properties, event.get("event_properties") or {})
        items: list[Any] = event.get("event_items") or []
        if self.items is not None and len(items) != len(self.items):
            found.append(f"items: expected {len(self.items)}, arrived {len(items)}")
        for place, (wanted, item) in enumerate(zip(self.items or (), items, strict=False)):
            found += missing(f"items[{place}].", wanted, item)
        return found

    def distance(self, event: Mapping[str, Any]) -> float:
        """How far an event is from fitting; the name weighs most, then the user."""
        distance = float(len(self.differences(event)))
        if self.name is not None:
            distance += 4 * (1 - SequenceMatcher(None, self.name, event["event_name"]).ratio())
        return distance + 2 * len(list(missing("", self.identity, event["identity"])))

    def lines(self) -> Iterator[str]:
        """What is expected, one part a line."""
        if self.name is not None:
            yield f"name: {self.name}"
        if self.identity is not None:
            yield f"identity: {pairs(self.identity)}"
        if self.properties is not None:
            yield f"properties: {pairs(self.properties)}"
        for place, item in enumerate(self.items or ()):
            yield f"items[{place}]: {pairs(item)}"
        if self.items is not None and not self.items:
            yield "items: none"


def expected_event(
    name: str | None,
    identity: Who | None,
    properties: Mapping[str, Any] | None,
    items: Sequence[Mapping[str, Any]] | None,
) -> Expected:
    """Make it of the arguments of an assertion."""
    return Expected(name, None if identity is None else identity_of(identity), properties, items)


def identity_of(who: Who | None) -> Mapping[str, str]:
    """The fields of an identity, in whatever way it was given."""
    if isinstance(who, str):
        return {"external_id": who}
    if isinstance(who, Mapping):
        return who
    values = ((name, getattr(who, name, None)) for name in IDENTITY_FIELDS)
    return {name: value for name, value in values if value}


_GONE: Final = object()


def missing(prefix: str, wanted: Mapping[str, Any] | None, there: Mapping[str, Any]) -> Iterator[str]:
    """What is wanted and not there, or there with another value: a line for each."""
    for name, value in (wanted or {}).items():
        arrived = there.get(name, _GONE)
        if arrived is _GONE:
            yield f"{prefix}{name}: expected {_shown(value)}, missing"
        elif not _same(value, arrived):
            yield f"{prefix}{name}: expected {_shown(value)}, arrived {_shown(arrived)}"


def _same(wanted: Any, arrived: Any) -> bool:
    """Whether two values are the same on the wire; `True` is not 1 there, and 1 is 1.0."""
    wanted = _on_the_wire(wanted)
    if isinstance(wanted, bool) or isinstance(arrived, bool):
        return wanted is arrived
    if is_array(wanted) and is_array(arrived):
        return len(wanted) == len(arrived) and all(map(_same, wanted, arrived))
    return bool(wanted == arrived)


def _is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def _on_the_wire(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return list(value) if _is_tuple(value) else value


def _shown(value: Any) -> str:
    return _cut(json.dumps(_on_the_wire(value), ensure_ascii=False, default=repr), 80)


def pairs(values: Mapping[str, Any]) -> str:
    """Names with their values, on one line."""
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items()) or "nobody"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def side_by_side(wanted: list[str], arrived: list[str]) -> Iterator[tuple[str, str]]:
    """Two lists of names with what is the same in one row."""
    for kind, a, b, c, d in SequenceMatcher(None, wanted, arrived, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from zip(wanted[a:b], arrived[c:d], strict=True)
        else:
            yield from ((name, "") for name in wanted[a:b])
            yield from (("", name) for name in arrived[c:d])


def title(event: Mapping[str, Any]) -> str:
    """An event on one line."""
    parts = [f"{event['event_name']} of {pairs(event['identity'])}"]
    if event.get("event_properties"):
        parts.append(pairs(event["event_properties"]))
    if event.get("event_items"):
        parts.append(f"{len(event['event_items'])} items")
    return _cut("; ".join(parts), 160)
