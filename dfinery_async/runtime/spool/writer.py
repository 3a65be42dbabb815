"""Transactions of one store, also on a disk that is full. They run in the spool's one thread.

Python lets its lock go and asks for it again with each step of a statement, and waits up to five milliseconds for it
while the event loop is busy. So what concerns many rows is one statement wherever that can be.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from dfinery_async.core.spool_rows import Row, note_of
from dfinery_async.core.spool_shelf import Cleanup
from dfinery_async.errors import SpoolCorrupt, SpoolError, SpoolFull
from dfinery_async.runtime.spool.files import make_reserve

__all__ = ["Committed", "Step", "Writer", "failure"]

_RESERVE: Final = 6 * 1024 * 1024  # what the log can hold, so that it can be written back when the disk is full
_ERASED: Final = 1024 * 1024  # bytes in one transaction: what is erased is written to the log once more
_PAGE: Final = 4096
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL: Final = "the spool or its disk has no room left"
_APPEND: Final = "INSERT INTO unit VALUES (?, ?, ?, ?, ?, ?, ?)"
_TOGETHER: Final = 50  # rows in one statement: takes half the time of fifty
_APPEND_TOGETHER: Final = _APPEND + ", (?, ?, ?, ?, ?, ?, ?)" * (_TOGETHER - 1)


_Deletion: TypeAlias = "Callable[[sqlite3.Connection], None]"


class Step(NamedTuple):
    """What is done together.

    Attributes:
        rows: units to append.
        done: numbers of units that are done, one note for each group.
        cleanup: rows to delete.
        marks: values to keep by name, each with the row of that index or not at all.
    """

    rows: Sequence[Row] = ()
    done: Sequence[Sequence[int]] = ()
    cleanup: Cleanup = Cleanup()
    marks: Sequence[tuple[int, str, str]] = ()


class Committed(NamedTuple):
    """How a step went.

    Attributes:
        appended: how many of the rows, from the first on.
        problem: what kept the others from being appended.
        rest: what kept the rest from being done.
    """

    appended: int
    problem: SpoolError | None
    rest: SpoolError | None


class Writer:
    """Writes to a store, and keeps room in reserve for noting and deleting what is done.

    Args:
        reserve: a file that takes up that room.
    """

    def __init__(self, reserve: Path) -> None:
        self._reserve = reserve
        self._reserved = False

    def commit(self, db: sqlite3.Connection, step: Step) -> Committed:
        """Append rows and note what is done in one transaction, then delete.

        Without room for all rows, as many as fit are appended, from the first on; the rest is done all the same.
        """
        if step.rows and not self.has_reserve():
            return Committed(0, SpoolFull(_FULL), self._do_the_rest(db, step))
        error = self._transact(db, partial(_append, db, step.rows, step.done, step.marks))
        if isinstance(error, SpoolFull):
            self.write_back(db)  # the log may be what takes up the room
            error = self._transact(db, partial(_append, db, step.rows, step.done, step.marks))
        if isinstance(error, SpoolFull):
            return Committed(*self._append_what_fits(db, step), self._do_the_rest(db, step))
        if error is not None:
            return Committed(0, error, error)
        return Committed(len(step.rows), None, self._do_the_rest(db, step._replace(done=())))

    def forget(self, db: sqlite3.Connection, after: int) -> None:
        """Delete all units behind a number.

        Raises:
            SpoolError: that can't be done.
        """
        error = self._transact(db, partial(db.execute, "DELETE FROM unit WHERE seq > ?", (after,)))
        if error is not None:
            raise error

    def bury(self, db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Set damaged rows aside, if that can be done."""

        def work() -> None:
            db.executemany("INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany("DELETE FROM unit WHERE seq = ?", [(row[0],) for row in rows])

        self._transact(db, work)

    def has_reserve(self) -> bool:
        """Whether what is done can be noted and deleted, come what may: what is new must not take up that room."""
        if not self._reserved:
            self._reserved = make_reserve(self._reserve, _RESERVE)
        return self._reserved

    def release_reserve(self) -> None:
        """Give the room back."""
        self._reserve.unlink(missing_ok=True)
        self._reserved = False

    def write_back(self, db: sqlite3.Connection) -> None:
        """Move what the log holds to where it belongs, and empty it."""
        with contextlib.suppress(sqlite3.Error):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _do_the_rest(self, db: sqlite3.Connection, step: Step) -> SpoolError | None:
        error: SpoolError | None = None
        if step.done:
            error = self._with_reserve(db, partial(self._transact, db, partial(_append, db, (), step.done, ())))
        if error is None and step.cleanup:
            error = self._with_reserve(db, partial(self._delete, db, step.cleanup))
        return error

    def _with_reserve(self, db: sqlite3.Connection, work: Callable[[], SpoolError | None]) -> SpoolError | None:
        error = work()
        if isinstance(error, SpoolFull):
            self.release_reserve()
            self.write_back(db)
            error = work()
        return error

    def _append_what_fits(self, db: sqlite3.Connection, step: Step) -> tuple[int, SpoolError | None]:
        kept, size = 0, len(step.rows)
        error: SpoolError | None = None
        while size > 1:
            size = (size + 1) // 2
            rows = step.rows[kept : kept + size]
            marks = [mark for mark in step.marks if kept <= mark[0] < kept + size]
            error = self._transact(db, partial(_append, db, rows, (), marks))
            if error is None:
                kept += len(rows)
            elif not isinstance(error, SpoolFull):
                break
        return kept, None if kept == len(step.rows) else error or SpoolFull(_FULL)

    def _delete(self, db: sqlite3.Connection, cleanup: Cleanup) -> SpoolError | None:
        """Delete in pieces, so that the log does not grow with what is erased."""
        try:
            pieces = [*_ranges(db, cleanup.up_to), *_pieces(db, cleanup.rows)]
        except sqlite3.Error as error:
            return failure(error)
        for piece in pieces:
            if (problem := self._transact(db, partial(piece, db))) is not None:
                return problem
            if not self._reserved:
                self.write_back(db)
        return self._transact(db, partial(_forget_notes, db, cleanup))

    def _transact(self, db: sqlite3.Connection, work: Callable[[], object]) -> SpoolError | None:
        try:
            db.execute("BEGIN IMMEDIATE")
            work()
            db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):  # the next one says what is the matter
                if db.in_transaction:
                    db.execute("ROLLBACK")
            return failure(error)
        return None


def _append(
    db: sqlite3.Connection,
    rows: Sequence[Row],
    done: Sequence[Sequence[int]],
    marks: Sequence[tuple[int, str, str]],
) -> None:
    if rows:
        whole = len(rows) - len(rows) % _TOGETHER
        together = [tuple(chain.from_iterable(rows[first : first + _TOGETHER])) for first in range(0, whole, _TOGETHER)]
        db.executemany(_APPEND_TOGETHER, together)
        db.executemany(_APPEND, rows[whole:])
    if marks:
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [mark[1:] for mark in marks])
    if done:
        db.executemany("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", map(note_of, done))


def _ranges(db: sqlite3.Connection, up_to: int | None) -> Iterator[_Deletion]:
    """Cut the deletion of all rows up to a number into transactions."""
    if up_to is None:
        return
    (size,) = db.execute("SELECT total(size) FROM unit WHERE seq <= ?", (up_to,)).fetchone()
    if size > _ERASED:
        rows = db.execute("SELECT seq, size FROM unit WHERE seq <= ? ORDER BY seq", (up_to,)).fetchall()
        for *_, last in _cut(rows):
            yield partial(_erase_up_to, last)
    yield partial(_erase_up_to, up_to)


def _pieces(db: sqlite3.Connection, seqs: Sequence[int]) -> Iterator[_Deletion]:
    """Cut the deletion of single rows into transactions."""
    found: list[tuple[int, Any]] = []
    for seq in seqs:
        found += db.execute("SELECT seq, size + ? FROM unit WHERE seq = ?", (_PAGE, seq))
    for piece in _cut(found):
        yield partial(_erase, piece)


def _cut(rows: Sequence[tuple[int, Any]]) -> Iterator[list[int]]:
    """Give the numbers of as many rows at a time as one transaction may erase, each with its size."""
    piece: list[int] = []
    size = 0
    for seq, each in rows:
        piece.append(seq)
        size += each if type(each) is int else _PAGE  # a damaged row may say anything
        if size >= _ERASED:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _erase_up_to(last: int, db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM unit WHERE seq <= ?", (last,))


def _erase(seqs: Sequence[int], db: sqlite3.Connection) -> None:
    db.executemany("DELETE FROM unit WHERE seq = ?", [(seq,) for seq in seqs])


def _forget_notes(db: sqlite3.Connection, cleanup: Cleanup) -> None:
    if cleanup.up_to is not None:
        db.execute("DELETE FROM done WHERE last <= ?", (cleanup.up_to,))
    db.executemany("DELETE FROM done WHERE last = ?", [(note,) for note in cleanup.notes])


def failure(error: sqlite3.Error) -> SpoolError:
    """Return what an error of SQLite means. Its own text may name a file, never a value."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code == sqlite3.SQLITE_FULL:
        return SpoolFull(_FULL)
    if code in _DAMAGED:
        return SpoolCorrupt(f"the spool's file is damaged ({name})")
    return SpoolError(f"the spool's file failed: {error} ({name})")
