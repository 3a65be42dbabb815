"""Keeps the store in a file between runs: JSON Lines, people first, then events in order of arrival.

The file holds what callers have sent, so only its owner may read it. It is written every few seconds while something
changes, and when the emulator stops; tokens, limits, faults and records are not part of it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.emulator.profiles import Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from dfinery_async.emulator.store import Store

_FORMAT: Final = {"dfinery-emulator": 1}
_AT_ONCE: Final = 64  # lines


def save(store: Store, path: Path, breathe: Callable[[], None] = lambda: None) -> None:
    """Write the store as it is now to a file, which takes its name when it is whole.

    Args:
        store: what is written; it may change meanwhile.
        path: the file.
        breathe: called after every few lines; what it raises ends the writing.

    Raises:
        OSError: it can't be written; what was there before is still there.
    """
    aside = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            for number, line in enumerate(_lines(store, breathe)):
                if number % _AT_ONCE == 0:
                    breathe()
                file.write(json.dumps(line) + "\n")
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _lines(store: Store, breathe: Callable[[], None]) -> Iterator[dict[str, Any]]:
    known, events = store.content()
    people = set(known.people)
    gone: dict[Person, None] = {}  # deleted ones, of whom only the events are left; they change no more
    for number, stored in enumerate(events):
        if number % _AT_ONCE == 0:
            breathe()
        if (person := stored.person.within(people)) not in people:
            gone[person] = None
    keys: dict[Person, list[tuple[str, str]]] = {}
    for key, person in known.keys.items():
        keys.setdefault(person, []).append(key)
    yield {**_FORMAT}
    for person, identities, properties in zip(known.people, known.identities, known.properties, strict=True):
        yield _person_line(person, identities, properties, keys.get(person, ()), alive=True)
    for person in gone:
        yield _person_line(person, person.identities, person.properties, (), alive=False)
    for stored in events:
        yield {
            "event": stored.event,
            "unified_id": stored.person.within(people).unified_id,
            "arrived": stored.arrived,
            "together": stored.together,
        }


def _person_line(
    person: Person,
    identities: dict[str, str],
    properties: dict[str, tuple[int, Any]],
    keys: Iterable[tuple[str, str]],
    *,
    alive: bool,
) -> dict[str, Any]:
    return {
        "unified_id": person.unified_id,
        "identities": identities,
        "keys": sorted(keys),
        "properties": properties,
        "alive": alive,
    }


def load(store: Store, path: Path) -> None:
    """Put the content of a file in place of the store's.

    Raises:
        ValueError: the file is not one that the emulator has written.
    """
    store.reset()
    everyone: dict[str, Person] = {}
    with path.open(encoding="utf-8") as file:
        try:
            _check_format(next(file, ""))
            for line in file:
                _load_line(json.loads(line), store, everyone)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            store.reset()
            raise ValueError(f"{path} is no state of the emulator: {error}") from error


def _check_format(line: str) -> None:
    if json.loads(line) != _FORMAT:
        raise ValueError("its first line is another")


def _load_line(line: dict[str, Any], store: Store, everyone: dict[str, Person]) -> None:
    if "event" in line:
        store.restore_event(line["event"], everyone[line["unified_id"]], line["arrived"], line.get("together", 1))
        return
    person = Person(line["unified_id"], len(everyone) + 1)
    person.identities.update(line["identities"])
    person.keys.update((name, value) for name, value in line["keys"])
    person.properties.update((name, (number, value)) for name, (number, value) in line["properties"].items())
    store.restore_person(person, alive=line["alive"])
    everyone[person.unified_id] = person
