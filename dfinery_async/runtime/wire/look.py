"""A look at a socket, without a turn of the loop."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["look_at"]


def look_at(socket: Any) -> Callable[[float], Sequence[object]]:
    """Return what says, given 0, whether a socket has something to read."""
    number: int = -1 if socket is None else socket.fileno()
    if number < 0:
        return lambda _: ()
    if not hasattr(select, "poll"):  # Windows
        return lambda _: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return poll.poll
