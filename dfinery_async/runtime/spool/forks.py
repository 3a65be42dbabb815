"""What a fork does to a spool: the child lets go of all that is the parent's, and touches nothing.

The lock of a slot is shared by all copies of its descriptor, so the child closes its copy, without unlocking. A copy of
an SQLite connection must not even be closed: it would write to the parent's files when the parent is gone. It is kept
for as long as the child lives, beyond the end of the interpreter.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol

__all__ = ["guard"]


class _Inherited(Protocol):
    def drop(self) -> None: ...


_guarded: weakref.WeakSet[Any] = weakref.WeakSet()


def guard(thing: _Inherited) -> None:
    """Have `drop()` called in every child that is forked from now on."""
    _guarded.add(thing)


def keep_for_ever(thing: object) -> None:
    """Let an object outlive the interpreter, so that nothing is done when it goes."""
    import ctypes  # noqa: PLC0415 - only a forked child needs it

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    for thing in list(_guarded):
        thing.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
