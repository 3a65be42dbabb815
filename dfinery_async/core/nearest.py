"""What a mistyped name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(name: str, known: Iterable[str], *, alike: float = 0.6) -> str:
    """Return `; did you mean …?` for the known name that is most like `name`; nothing where none is, from 0 to 1."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=alike)
    return f"; did you mean {found[0]}?" if found else ""
