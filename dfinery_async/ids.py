"""New ids for events: random UUIDs, made by the block, since one at a time costs more than all the rest of an event.

A block is handed out once, and never by two processes: a forked child forgets what its parent has in stock.
"""

from __future__ import annotations

import os

__all__ = ["new_log_id"]

_BLOCK = 256
_LENGTH = 36
_DASHES = (8, 13, 18, 23)
_VERSION, _VARIANT = 14, 19  # RFC 9562: the places that say "random"
_VARIANTS = bytes.maketrans(b"0123456789abcdef", b"89ab89ab89ab89ab")

_stock: list[str] = []


def new_log_id() -> str:
    """Return a new random UUID as text, lower case with dashes."""
    try:
        return _stock.pop()
    except IndexError:
        block = _make_block()
        first = block.pop()
        _stock.extend(block)
        return first


def _make_block() -> list[str]:
    """Write the ids as lines of one text, column by column: a step then serves the whole block."""
    digits = os.urandom(_BLOCK * 16).hex().encode()
    lines = bytearray(b"-") * (_BLOCK * (_LENGTH + 1))
    columns = [column for column in range(_LENGTH) if column not in _DASHES]
    for source, column in enumerate(columns):
        lines[column :: _LENGTH + 1] = digits[source::32]
    lines[_VERSION :: _LENGTH + 1] = b"4" * _BLOCK
    lines[_VARIANT :: _LENGTH + 1] = lines[_VARIANT :: _LENGTH + 1].translate(_VARIANTS)
    lines[_LENGTH :: _LENGTH + 1] = b"\n" * _BLOCK
    return lines.decode().split()


if hasattr(os, "register_at_fork"):  # where there are no forks there is nothing to forget
    os.register_at_fork(after_in_child=_stock.clear)
