"""What becomes of a file that is damaged or not ours: it is moved aside, what can be read of it is kept.

The next start finds a sound file, so a damaged one stops a program once and no more.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from dfinery_async.core.spool_rows import DamagedRow, Row, read_note, read_row
from dfinery_async.errors import SpoolCorrupt
from dfinery_async.runtime.spool.files import beside, sync_folder
from dfinery_async.runtime.spool.store import Found, Store
from dfinery_async.runtime.spool.writer import Step

__all__ = ["open_or_rescue"]

_log = logging.getLogger("dfinery_async.spool")

_AT_ONCE: Final = 1000
_FORWARD: Final = "SELECT seq, kind, items, size, user, body, crc FROM unit WHERE seq > ? ORDER BY seq LIMIT ?"
_BACKWARD: Final = "SELECT seq, kind, items, size, user, body, crc FROM unit WHERE seq < ? ORDER BY seq DESC LIMIT ?"
_END: Final = (1 << 63) - 1


def open_or_rescue(store: Store) -> Found:
    """Open a store. If its file can't be used, a sound one with what could be read of it takes its place first.

    Raises:
        SpoolCorrupt: the file was damaged or not ours. It was moved aside, and opening again works.
        SpoolError: the store can't be opened.
    """
    try:
        return store.open()
    except SpoolCorrupt as error:
        aside = _move_aside(store.path)
        store.open()
        try:
            saved = _save(store, aside)
        finally:
            store.close()
        text = (
            f"{error}; it was moved to {aside.name} beside, and {saved} units that could be read of it stand in a new "
            "file: opening the spool again sends them"
        )
        _log.error("%s", text)
        raise SpoolCorrupt(text) from None


def _save(store: Store, aside: Path) -> int:
    saved = 0
    for rows in _readable(aside, store.seed):
        done = store.commit(Step(rows=rows))
        saved += done.appended
        if done.problem is not None:
            _log.error("the rest of the damaged file could not be kept: %s", done.problem)
            break
    return saved


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    for old, new in zip((path, *beside(path)), (aside, *beside(aside)), strict=True):
        with contextlib.suppress(FileNotFoundError):
            old.rename(new)
    sync_folder(path.parent)
    return aside


def _readable(path: Path, seed: int) -> Iterator[list[Row]]:
    """Give what can be read of a file, in order: from its beginning to the damage, and from its end back to it."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA query_only = ON")
        done = _done(db)
        reached = -_END
        for rows in _pages(db, _FORWARD, reached):
            yield _sound([row for row in rows if row[0] > reached], seed, done)
            reached = max(reached, rows[-1][0])
        tail: list[Row] = []
        for rows in _pages(db, _BACKWARD, _END):
            behind = [row for row in rows if row[0] > reached]
            tail += _sound(behind, seed, done)
            if len(behind) < len(rows):
                break
        tail.sort()
        for start in range(0, len(tail), _AT_ONCE):
            yield tail[start : start + _AT_ONCE]


def _pages(db: sqlite3.Connection, query: str, start: int) -> Iterator[list[Any]]:
    """Give rows from `start` on, fewer at a time where the damage is near, until there are no more to be had."""
    at_once = _AT_ONCE
    while at_once:
        try:
            rows = db.execute(query, (start, at_once)).fetchall()
        except (sqlite3.Error, UnicodeError):
            at_once //= 10
            continue
        if not rows or rows[-1][0] == start:  # where the tree is damaged, it may lead in a circle
            return
        yield rows
        start = rows[-1][0]


def _sound(rows: list[Any], seed: int, done: set[int]) -> list[Row]:
    sound: dict[int, Row] = {}
    for row in rows:
        try:
            read_row(row, seed)
        except DamagedRow:
            continue
        if row[0] not in done:
            sound[row[0]] = row
    return [sound[seq] for seq in sorted(sound)]


def _done(db: sqlite3.Connection) -> set[int]:
    try:
        notes = db.execute("SELECT seqs, crc FROM done").fetchall()
    except sqlite3.Error:
        return set()
    return {seq for packed, crc in notes for seq in read_note(packed, crc)}
