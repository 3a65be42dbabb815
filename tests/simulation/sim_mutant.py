"""Defects put into our own code, one at a time: what a checker is worth shows when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dfinery_async.core import outcome
from dfinery_async.core.outcome import Outcome
from dfinery_async.runtime import gateway

__all__ = ["DEFECTS", "Mutant", "Patch", "classified", "mutant", "mutated"]

Put = Callable[[Any, str, Any], None]
Patch = Callable[[Put], None]


class Mutant:
    """A defect.

    Args:
        apply: puts it in, by a function that replaces an attribute until the end.
        caught_by: the checks that may find it.
        within: seeds that are enough.
    """

    def __init__(self, apply: Patch, caught_by: set[str], within: int) -> None:
        self.apply = apply
        self.caught_by = caught_by
        self.within = within


DEFECTS: dict[str, Mutant] = {}


def mutant(name: str, *, caught_by: set[str], within: int) -> Callable[[Patch], Patch]:
    """Add a defect to the list."""

    def add(apply: Patch) -> Patch:
        DEFECTS[name] = Mutant(apply, caught_by, within)
        return apply

    return add


@contextmanager
def mutated(defect: Mutant) -> Iterator[None]:
    """Put a defect in, and take it out again."""
    undo: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    try:
        defect.apply(put)
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)


def classified(put: Put, change: Callable[[int, bytes, Outcome], Outcome]) -> None:
    """Let answers mean something else."""
    classify = outcome.classify

    def wrongly(status: int, body: bytes, *more: Any) -> Outcome:
        return change(status, body, classify(status, body, *more))

    put(gateway, "classify", wrongly)
