"""Keeps the store in a file between runs: JSON Lines, people first, then events in order of arrival.

The file holds what callers have sent, so only its owner may read it. It is written when the emulator stops; tokens,
limits, faults and records are not part of it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.emulator.profiles import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dfinery_async.emulator.store import Store

_FORMAT: Final = {"dfinery-emulator": 1}


def save(store: Store, path: Path) -> None:
    """Write the store to a file, which takes its name when it is whole.

    Raises:
        OSError: it can't be written; what was there before is still there.
    """
    aside = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            for line in _lines(store):
                file.write(json.dumps(line) + "\n")
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _lines(store: Store) -> Iterator[dict[str, Any]]:
    people, events = store.content()
    everyone = dict.fromkeys([*people, *(stored.person.current for stored in events)])
    yield {**_FORMAT}
    for person in everyone:
        yield {
            "unified_id": person.unified_id,
            "identities": person.identities,
            # The keys that lead to this one; none when it was deleted and only its events are left.
            "keys": sorted(people.get(person, ())),
            "properties": person.properties,
            "alive": person in people,
        }
    for stored in events:
        yield {
            "event": stored.event,
            "unified_id": stored.person.current.unified_id,
            "arrived": stored.arrived,
            "together": stored.together,
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
