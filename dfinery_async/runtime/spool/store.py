"""One SQLite file: units appended, noted as done, read in order, deleted. All of it runs in the spool's one thread.

There is one connection, ever: SQLite before 3.51.3 can corrupt a write-ahead log that two of them use. Nothing else in
the process may open the files while it is there, as closing them would drop SQLite's locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from dfinery_async.core.spool_rows import DamagedRow, Unit, owner_seed, read_events, read_note, read_row
from dfinery_async.errors import SpoolCorrupt, SpoolError, SpoolFull
from dfinery_async.runtime.spool import forks
from dfinery_async.runtime.spool.files import prepare_file, sync_folder
from dfinery_async.runtime.spool.writer import Committed, Step, Writer, failure

__all__ = ["Durability", "Found", "Store", "Window"]

_log = logging.getLogger("dfinery_async.spool")

Durability = Literal["power", "process"]

_APPLICATION: Final = 0x6466_7370  # "dfsp": told from any other SQLite file by this
_SCHEMA: Final = 1
_PAGE: Final = 4096
_LOG_PAGES: Final = 512  # of the write-ahead log, before they are moved to where they belong
_LOG_BYTES: Final = 4 * 1024 * 1024
_PAGES_AT_ONCE: Final = 256  # given back to the disk in one transaction
_PIECES: Final = 16  # of them in one go
_SPARE_PAGES: Final = 256  # for notes of what is done, when there is no more room for units

_TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT)",
    # No number is given twice, also after the highest one was deleted.
    "CREATE TABLE unit (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind, items, size, user, body, crc)",
    "CREATE TABLE done (last INTEGER PRIMARY KEY, seqs BLOB, crc INTEGER)",
    "CREATE TABLE dead (seq INTEGER PRIMARY KEY, kind, items, size, user, body, crc)",
)
_ROWS_AT_ONCE: Final = 64
_BODY: Final = itemgetter(5)
_READ: Final = "SELECT seq, kind, items, size, user, body, crc FROM unit WHERE seq > ? ORDER BY seq LIMIT ?"


class Found(NamedTuple):
    """What a store holds when it is opened: numbers of its units, how many wait and how large, and what is done."""

    first: int
    last: int
    units: int
    size: int
    done: Sequence[int]
    notes: Sequence[int]


class Window(NamedTuple):
    """A part of the units in order: those that are whole, how many were damaged, and up to where that was."""

    units: Sequence[Unit]
    damaged: int
    damaged_size: int
    up_to: int | None  # None: to the end


class Store:
    """The units in one folder.

    Args:
        folder: where; its slot must be ours.
        binding: whose units these are: a service at an address.
        durability: whether what is committed outlives the power, or the process only.
        max_bytes: size of the file at the most.
    """

    def __init__(self, folder: Path, binding: str, durability: Durability = "power", max_bytes: int = 1 << 30) -> None:
        self.path: Path = folder / "spool.db"
        self._writer = Writer(folder / "reserve")
        self._binding = hashlib.sha256(binding.encode()).hexdigest()
        self.seed: int = owner_seed(binding)
        self._durability: Durability = durability
        self._max_pages = max(max_bytes // _PAGE, 64)
        self._db: sqlite3.Connection | None = None
        self._skip: frozenset[int] = frozenset()  # done, as the notes of an earlier run say
        self._skip_to = 0  # the highest of them
        forks.guard(self)

    def open(self) -> Found:
        """Open or make the file, and check it.

        Raises:
            SpoolCorrupt: it is damaged, or no file of a spool.
            SpoolError: it belongs to another service or address, or was written by a newer version.
        """
        if prepare_file(self.path) == 0:
            sync_folder(self.path.parent)
        try:
            found = self._connect()
        except SpoolFull:
            self._writer.release_reserve()
            found = self._connect()
        self._writer.has_reserve()
        return found

    def _connect(self) -> Found:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=32)
        try:
            found = self._set_up(db)
        except BaseException as error:
            db.close()
            if isinstance(error, sqlite3.Error):
                raise failure(error) from error
            raise
        self._db = db
        return found

    def _set_up(self, db: sqlite3.Connection) -> Found:
        sync = "FULL" if self._durability == "power" else "NORMAL"
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # no file of shared memory, which would need room and a lock
        self._check(db)
        for setting in (
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            f"synchronous = {sync}",
            "secure_delete = ON",
            "temp_store = MEMORY",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "busy_timeout = 0",
            f"wal_autocheckpoint = {_LOG_PAGES}",
            f"journal_size_limit = {_LOG_BYTES}",
            f"max_page_count = {self._max_pages + _SPARE_PAGES}",
        ):
            db.execute(f"PRAGMA {setting}").fetchall()
        if not _value(db, "SELECT count(*) FROM sqlite_master"):
            # In one transaction with its marks, so that a file with only a part of them is damaged and not half made.
            for statement in ("BEGIN IMMEDIATE", *_TABLES, f"PRAGMA application_id = {_APPLICATION}"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_SCHEMA}")
            db.execute("INSERT INTO meta VALUES ('binding', ?)", (self._binding,))
            db.execute("COMMIT")
        return self._look(db)

    def _check(self, db: sqlite3.Connection) -> None:
        if not _value(db, "SELECT count(*) FROM sqlite_master"):
            return  # new, or cut before anything was written
        if _value(db, "PRAGMA application_id") != _APPLICATION:
            raise SpoolCorrupt(f"{self.path} is no file of a spool")
        if (version := _value(db, "PRAGMA user_version")) > _SCHEMA:
            raise SpoolError(f"{self.path} was written by a newer version of dfinery-async ({version}); use that one")
        if (problem := _value(db, "PRAGMA quick_check(1)")) != "ok":
            raise SpoolCorrupt(f"{self.path} is damaged: {str(problem).splitlines()[0][:100]}")
        bound = db.execute("SELECT value FROM meta WHERE name = 'binding'").fetchone()
        if bound is None or bound[0] != self._binding:
            raise SpoolError(
                f"the spool in {self.path.parent} belongs to another service id or address; it is kept as it is"
            )

    def _look(self, db: sqlite3.Connection) -> Found:
        last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'unit'").fetchone()
        first, count, size = db.execute("SELECT min(seq), count(*), total(size) FROM unit").fetchone()
        notes = db.execute("SELECT last, seqs, crc FROM done").fetchall()
        named = [seq for _, packed, crc in notes for seq in read_note(packed, crc)]
        self._skip = frozenset(named)
        self._skip_to = max(named, default=0)
        for seq in self._skip:
            row = db.execute("SELECT size FROM unit WHERE seq = ?", (seq,)).fetchone()
            if row is not None:
                count, size = count - 1, size - row[0]
        highest = 0 if last is None else last[0]
        return Found(first or highest + 1, highest, count, int(size), named, [note[0] for note in notes])

    def commit(self, step: Step) -> Committed:
        """Do a step, as `Writer.commit` says."""
        return self._writer.commit(self._connection(), step)

    def read(self, after: int, most: int, most_bytes: int = 1 << 24) -> Window:
        """Read units in order, those that are done left out. Damaged ones are set aside and passed over.

        Args:
            after: number behind which to begin.
            most: rows to look at.
            most_bytes: what they may hold, from the second one on.

        Raises:
            SpoolError: the file can't be read.
        """
        db = self._connection()
        units: list[Unit] = []
        bad: list[Any] = []
        size = looked_at = 0
        up_to: int | None = None
        try:
            cursor = db.execute(_READ, (after, most))
            while up_to is None and (rows := cursor.fetchmany(_ROWS_AT_ONCE)):
                events = None if rows[0][0] <= self._skip_to else read_events(rows, self.seed)
                if events is not None and (more := sum(map(len, map(_BODY, rows)))) < most_bytes - size:
                    units += events
                    size += more
                    looked_at += len(rows)
                    up_to = rows[-1][0] if looked_at == most else None
                    continue
                for row in rows:
                    looked_at += 1
                    if row[0] not in self._skip:
                        try:
                            units.append(read_row(row, self.seed))
                            size += len(row[5])
                        except DamagedRow:
                            bad.append(row)
                    if looked_at == most or size >= most_bytes:
                        up_to = row[0]
                        break
        except sqlite3.Error as error:
            raise failure(error) from error
        if bad:
            self._bury(db, bad)
        return Window(units, len(bad), sum(row[3] for row in bad if type(row[3]) is int), up_to)

    def _bury(self, db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        _log.error("%d damaged rows of the spool are set aside in its table of the dead", len(rows))
        self._writer.bury(db, rows)  # where that fails they are passed over all the same, and found the next time

    def marks(self, prefix: str) -> dict[str, str]:
        """Return the values whose names begin with `prefix`."""
        db = self._connection()
        rows = db.execute("SELECT name, value FROM meta WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
        return dict(rows.fetchall())

    def waiting(self, after: int) -> tuple[int, int]:
        """Return how many units there are behind a number, and their size."""
        count, size = (
            self._connection().execute("SELECT count(*), total(size) FROM unit WHERE seq > ?", (after,)).fetchone()
        )
        return count, int(size)

    def numbers(self, up_to: int) -> frozenset[int]:
        """Return the numbers of all units up to one."""
        rows = self._connection().execute("SELECT seq FROM unit WHERE seq <= ?", (up_to,))
        return frozenset(row[0] for row in rows)

    def forget(self, after: int) -> None:
        """Delete all units behind a number: nobody was told that they are kept."""
        self._writer.forget(self._connection(), after)

    def used(self) -> int:
        """Return the bytes that the units take up in the file."""
        db = self._connection()
        used: int = _value(db, "PRAGMA page_count") - _value(db, "PRAGMA freelist_count")
        return used * _PAGE

    def tidy(self) -> bool:
        """Give room back to the disk, while there is nothing else to do. Returns whether there is more of that."""
        db = self._connection()
        more = True
        with contextlib.suppress(sqlite3.Error):  # it is a courtesy; what is the matter shows with the next step
            for _ in range(_PIECES):
                self._writer.write_back(db)  # on a full disk, the log has room for a piece and no more
                if not (more := _value(db, "PRAGMA freelist_count") > 0):
                    break
                db.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")  # `execute` does one step of it
        self._writer.write_back(db)
        self._writer.has_reserve()
        return more

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        db, self._db = self._db, None
        if db is not None:
            with contextlib.closing(db):
                self._writer.write_back(db)

    def drop(self) -> None:
        """In a forked child: let go without closing."""
        db, self._db = self._db, None
        if db is not None:
            forks.keep_for_ever(db)

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise SpoolError("the spool is closed")
        return self._db


def _value(db: sqlite3.Connection, query: str) -> Any:
    return db.execute(query).fetchone()[0]
