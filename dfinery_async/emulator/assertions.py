"""Assertions on what has arrived, with texts that say what was expected, what did arrive, and what came nearest."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from dfinery_async.emulator.journal import Journal
from dfinery_async.emulator.matching import (
    Expected,
    Who,
    expected_event,
    identity_of,
    missing,
    pairs,
    side_by_side,
    title,
)
from dfinery_async.emulator.profiles import Profile
from dfinery_async.emulator.records import RequestRecord
from dfinery_async.emulator.store import Store

_SHOWN: Final = 10


class Assertions:
    """The assertions of an emulator; each may be used from any thread."""

    _store: Store
    _journal: Journal

    def find_events(
        self,
        name: str | None = None,
        *,
        identity: Who | None = None,
        properties: Mapping[str, Any] | None = None,
        items: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """The stored events that fit, in order of arrival.

        Args:
            name: the event's name.
            identity: whose it is: an external id, or the fields that must be the same.
            properties: properties that it has, among others. Datetimes may be given as such.
            items: its items in order, each with what it has among others.
        """
        expected = expected_event(name, identity, properties, items)
        return [event for event in self._store.events() if not expected.differences(event)]

    def assert_event(
        self,
        name: str | None = None,
        *,
        identity: Who | None = None,
        properties: Mapping[str, Any] | None = None,
        items: Sequence[Mapping[str, Any]] | None = None,
        count: int | None = None,
        within: float = 0.0,
    ) -> dict[str, Any]:
        """Assert that an event has arrived, and give the first that fits, as it was sent.

        Args:
            name: the event's name.
            identity: whose it is: an external id, or the fields that must be the same.
            properties: properties that it has, among others. Datetimes may be given as such.
            items: its items in order, each with what it has among others.
            count: how many there have to be; None is one or more.
            within: seconds to wait for it. That blocks the thread: a coroutine awaits `wait_for_event` instead, or the
                producer's `flush()` before.

        Raises:
            AssertionError: none has arrived; the text says what did, and what came nearest.
        """
        __tracebackhide__ = True
        expected = expected_event(name, identity, properties, items)
        found: list[dict[str, Any]] = []

        def fits() -> bool:
            found[:] = [event for event in self._store.events() if not expected.differences(event)]
            return bool(found) if count is None else len(found) >= count

        if within and not fits():
            self._block_until(fits, within)
        if not fits() or (count is not None and len(found) > count):
            raise AssertionError(self._no_event(expected, count, len(found)))
        return found[0] if found else {}

    async def wait_for_event(
        self,
        name: str | None = None,
        *,
        identity: Who | None = None,
        properties: Mapping[str, Any] | None = None,
        items: Sequence[Mapping[str, Any]] | None = None,
        timeout: float = 5.0,
    ) -> dict[str, Any]:
        """Wait until an event has arrived, and give the first that fits; `assert_event` for coroutines.

        Args:
            name: the event's name.
            identity: whose it is.
            properties: properties that it has, among others.
            items: its items in order, each with what it has among others.
            timeout: seconds until this gives up.

        Raises:
            AssertionError: none has arrived in time; the text says what did.
        """
        __tracebackhide__ = True
        expected = expected_event(name, identity, properties, items)
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(changed.set)

        end = self._journal.listen(tell)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    changed.clear()
                    for event in self._store.events():
                        if not expected.differences(event):
                            return event
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(self._no_event(expected, None, 0)) from None
        finally:
            end()

    def assert_no_event(
        self,
        name: str | None = None,
        *,
        identity: Who | None = None,
        properties: Mapping[str, Any] | None = None,
        items: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Assert that no event has arrived that fits; without arguments, none at all.

        Raises:
            AssertionError: there is one; the text shows it.
        """
        __tracebackhide__ = True
        found = self.find_events(name, identity=identity, properties=properties, items=items)
        if found:
            what = list(expected_event(name, identity, properties, items).lines())
            raise AssertionError(
                "\n".join(["Expected no event" + (" with" if what else ", but:"), *_indent(what), *_arrived(found)])
            )

    def assert_names(self, names: Sequence[str], *, identity: Who | None = None) -> None:
        """Assert that these events have arrived in this order, and no others.

        Args:
            names: the names.
            identity: whose events count; None counts all.

        Raises:
            AssertionError: they differ; the text shows both side by side.
        """
        __tracebackhide__ = True
        events = self.find_events(identity=identity)
        arrived = [str(event["event_name"]) for event in events]
        if arrived == list(names):
            return
        width = max(map(len, ["expected", *names]))
        rows = [
            f"{'  ' if a == b else '! '}{a or '-':<{width}}  {b or '-'}" for a, b in side_by_side(list(names), arrived)
        ]
        head = "The events are others" + (f" for {pairs(identity_of(identity))}" if identity is not None else "")
        raise AssertionError("\n".join([f"{head}:", f"  {'expected':<{width}}  arrived", *rows, *self._trouble()]))

    def assert_profile(self, identity: Who, properties: Mapping[str, Any] | None = None) -> Profile:
        """Assert that there is a profile, and give it.

        Args:
            identity: whose: an external id, or the fields that must be the same.
            properties: user properties that it has, among others.

        Raises:
            AssertionError: there is none, or its properties differ.
        """
        __tracebackhide__ = True
        wanted = identity_of(identity)
        profiles = self._store.profiles()
        for profile in profiles:
            if not list(missing("", wanted, profile.identities)):
                differences = list(missing("", properties, profile.properties))
                if differences:
                    head = f"The profile of {pairs(wanted)} differs:"
                    raise AssertionError("\n".join([head, *_indent(differences), *self._trouble()]))
                return profile
        there = _indent([pairs(profile.identities) for profile in profiles[-_SHOWN:]]) or ["  none"]
        raise AssertionError(
            "\n".join([f"No profile of {pairs(wanted)}. Those that are there:", *there, *self._trouble()])
        )

    def assert_nothing_refused(self) -> None:
        """Assert that no request was refused, throttled or failed, and none was hit by an injected fault but latency.

        Raises:
            AssertionError: one was; the text says why, field by field.
        """
        __tracebackhide__ = True
        trouble = self._trouble()
        if trouble:
            raise AssertionError("\n".join(trouble).strip())

    def _block_until(self, done: Callable[[], bool], seconds: float) -> None:
        changed = threading.Semaphore(0)
        end = self._journal.listen(changed.release)
        until = time.monotonic() + seconds
        try:
            while not done() and (left := until - time.monotonic()) > 0:
                changed.acquire(timeout=left)
        finally:
            end()

    def _no_event(self, expected: Expected, count: int | None, found: int) -> str:
        events = self._store.events()
        what = list(expected.lines()) or ["any event"]
        head = "No event fits:" if count is None else f"Expected {count} events, {found} fit:"
        lines = [head, *_indent(what)]
        if not events:
            lines += ["", "No event has arrived."]
            if not self._journal.totals().requests:
                lines.append(
                    "No request has come at all: was it sent before this line (await producer.flush()), "
                    "and does the client point at this emulator?"
                )
        elif not found:
            nearest = min(events, key=expected.distance)
            lines += ["", f"The nearest: {title(nearest)}", *_indent(expected.differences(nearest))]
        return "\n".join([*lines, *_arrived(events), *self._trouble()])

    def _trouble(self) -> list[str]:
        """The requests that did not go well, with the reasons."""
        bad = [
            (number, record)
            for number, record in self._journal.newest()
            if record.outcome != "accepted" or record.problems or record.fault not in {None, "latency"}
        ]
        if not bad:
            return []
        lines = [
            "",
            f"Requests that did not go well: {len(bad)}" + (f", the latest {_SHOWN}:" if bad[_SHOWN:] else ":"),
        ]
        for number, record in reversed(bad[:_SHOWN]):
            lines.append(f"  {number}. {_account(record)}")
            lines += [f"     {each.field or 'the body'}: {each.what}" for each in record.problems]
        return lines


def _account(record: RequestRecord) -> str:
    answer = "no answer" if record.status is None else f"HTTP {record.status}"
    if record.code is not None:
        answer += f", {record.code} {record.message}"
    elif record.message:
        answer += f", {record.message}"
    hit = f", hit by the fault {record.fault}" if record.fault else ""
    return f"{record.method} {record.path}: {record.outcome} ({answer}){hit}"


def _arrived(events: Sequence[Mapping[str, Any]]) -> list[str]:
    if not events:
        return []
    latest = list(enumerate(events, 1))[-_SHOWN:]
    cut = f", the latest {_SHOWN}" if len(events) > _SHOWN else ""
    return ["", f"What has arrived: {len(events)}{cut}:", *(f"  {place}. {title(event)}" for place, event in latest)]


def _indent(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
