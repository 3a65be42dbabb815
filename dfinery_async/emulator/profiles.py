"""Unified profiles: who is who, and which of two values is the newer.

The pages say that profiles found to be the same customer are merged, that the latest value of a property stays, and
that `external_id` weighs most ("User Profile 360", SDK pages on identity); they do not publish the rule. The
emulator's rule:

* A profile is found by any of the five identity fields.
* Profiles that one request ties together become one, unless two have different external ids: a member never becomes
  another member. A field that two members claim, a shared e-mail for instance, then leads to the one who claimed it
  last.
* Fields that a request leaves out stay as they were. A property set to null is cleared.
* "Latest" is the order of arrival; `request_datetime` does not count.
* The profile with the external id survives a merge, else the older one. Its events move with it.
* Deleting takes the profile away; its events stay under the old unified id, and the same external id coming back is a
  new profile. An unknown external id is answered like a known one.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

# In order of weight.
IDENTITY_FIELDS: Final = ("external_id", "phone_no", "email", "kakao_user_id", "line_user_id")

_ALPHABET = string.ascii_letters + string.digits
_UNIFIED_ID_LENGTH = 7  # as in both CSV samples


@dataclass(frozen=True)
class Profile:
    """A unified profile as it is now.

    Attributes:
        unified_id: the id in the column `df_unified_id`.
        identities: the identity fields that are known.
        properties: the user properties that are set.
    """

    unified_id: str
    identities: Mapping[str, str]
    properties: Mapping[str, Any]


class Known(NamedTuple):
    """All people at a moment, in order of creation, what was known of each, and the keys that led to them."""

    people: list[Person]
    identities: list[dict[str, str]]
    properties: list[dict[str, tuple[int, Any]]]
    keys: dict[tuple[str, str], Person]


class Person:
    """A profile in the making: properties with the number of the update that set them."""

    __slots__ = ("_merged_into", "born", "identities", "keys", "properties", "unified_id")

    def __init__(self, unified_id: str, born: int) -> None:
        self.unified_id: str = unified_id
        self.born: int = born
        self.identities: dict[str, str] = {}
        self.keys: set[tuple[str, str]] = set()
        self.properties: dict[str, tuple[int, Any]] = {}
        self._merged_into: Person | None = None

    @property
    def current(self) -> Person:
        """The one that this one has become by merges."""
        person = self
        while person._merged_into is not None:
            person = person._merged_into
        return person

    def within(self, known: Container[Person]) -> Person:
        """The one among `known` that this one had become when those were all there were; a deleted one is itself."""
        person = self
        while person not in known and person._merged_into is not None:
            person = person._merged_into
        return person

    def profile(self) -> Profile:
        """The profile as it is now."""
        properties = {name: value for name, (_, value) in self.properties.items() if value is not None}
        return Profile(self.unified_id, dict(self.identities), properties)

    def absorb(self, other: Person) -> None:
        """Take over all that is known of another."""
        for name, entry in other.properties.items():
            if name not in self.properties or entry[0] > self.properties[name][0]:
                self.properties[name] = entry
        self.identities = {**other.identities, **self.identities}
        self.keys |= other.keys
        other._merged_into = self


class People:
    """All profiles of the service."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # ids that repeat from run to run, not secrets
        self._by_key: dict[tuple[str, str], Person] = {}
        self._alive: dict[str, Person] = {}
        self._issued: set[str] = set()
        self._updates = 0

    def __len__(self) -> int:
        return len(self._alive)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._alive.values())

    def find(self, identity: Mapping[str, str]) -> Person:
        """The profile of an identity, made or merged as needed."""
        keys = [(name, identity[name]) for name in IDENTITY_FIELDS if identity.get(name)]
        # Nearly every call names one member in the same words as before.
        first = self._by_key.get(keys[0])
        if first is not None and all(self._by_key.get(key) is first for key in keys):
            first.identities.update(keys)
            return first
        person = self._survivor(keys)
        for name, value in keys:
            person.identities[name] = value
            person.keys.add((name, value))
            self._by_key[name, value] = person
        return person

    def update(self, identity: Mapping[str, str], properties: Mapping[str, Any]) -> None:
        """Set user properties."""
        person = self.find(identity)
        self._updates += 1
        person.properties.update((name, (self._updates, value)) for name, value in properties.items())

    def delete(self, external_id: str) -> None:
        """Take a profile away."""
        person = self._by_key.get(("external_id", external_id))
        if person is None:
            return
        del self._alive[person.unified_id]
        for key in person.keys:
            if self._by_key.get(key) is person:
                del self._by_key[key]

    def known(self) -> Known:
        """All people as they are now: whatever else there is to do with them can wait until nobody has to."""
        people = list(self)
        identities = [person.identities.copy() for person in people]
        properties = [person.properties.copy() for person in people]
        return Known(people, identities, properties, self._by_key.copy())

    def restore(self, person: Person, *, alive: bool) -> None:
        """Bring back one who was here before; a deleted one only keeps the unified id from being given again."""
        self._issued.add(person.unified_id)
        if alive:
            self._alive[person.unified_id] = person
            self._by_key.update(dict.fromkeys(person.keys, person))
            self._updates = max([self._updates, *(number for number, _ in person.properties.values())])

    def _survivor(self, keys: list[tuple[str, str]]) -> Person:
        found = list(dict.fromkeys(person for key in keys if (person := self._by_key.get(key)) is not None))
        members = [person for person in found if "external_id" in person.identities]
        if keys[0][0] == "external_id":
            own = self._by_key.get(keys[0])
            # A member is found by the external id alone; others named beside it join only if they are not members.
            strangers = [person for person in found if person not in members]
            survivor = own or (min(strangers, key=lambda person: person.born) if strangers else self._create())
        elif not found:
            return self._create()
        else:
            survivor = members[0] if members else min(found, key=lambda person: person.born)
            strangers = [person for person in found if person not in members]
        for stranger in strangers:
            if stranger is not survivor:
                self._merge(survivor, stranger)
        return survivor

    def _merge(self, survivor: Person, stranger: Person) -> None:
        for key in stranger.keys:
            if self._by_key.get(key) is stranger:
                self._by_key[key] = survivor
        del self._alive[stranger.unified_id]
        survivor.absorb(stranger)

    def _create(self) -> Person:
        unified_id = ""
        while not unified_id or unified_id in self._issued:
            unified_id = "".join(self._random.choices(_ALPHABET, k=_UNIFIED_ID_LENGTH))
        self._issued.add(unified_id)
        person = self._alive[unified_id] = Person(unified_id, len(self._issued))
        return person
