"""Records of any number, grouped by user on disk.

SQLite sorts them: what does not fit into its cache goes through temporary files, so that memory stays the same however
many there are. The order within a user is that in which they came.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from dfinery_async.core import codec
from dfinery_async.core.records import Record

__all__ = ["UserGroups"]

_CACHE = 8 * 1024  # KiB of memory that SQLite may use
_ROWS = 500
_SETTINGS = (
    f"PRAGMA cache_size = -{_CACHE}",
    "PRAGMA temp_store = FILE",
    # Nobody reads it after a crash: it is gone with this process.
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class UserGroups:
    """Takes records in any order, gives them user by user. It may be used in threads, in one at a time.

    The file holds personal data: only we can read it, and it goes with `close()`.

    Args:
        directory: where it is; that for temporary files by default.

    Attributes:
        count: records so far.

    Raises:
        sqlite3.Error: there is no room for it, here and in `add` and `groups`.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.count: int = 0
        self._aside = TemporaryDirectory(prefix="dfinery-", dir=directory)  # readable by its owner alone
        self._base = sqlite3.connect(Path(self._aside.name) / "records", isolation_level=None, check_same_thread=False)
        try:
            for setting in _SETTINGS:
                self._base.execute(setting)
            self._base.execute("CREATE TABLE records (user BLOB, place INTEGER, kind TEXT, content BLOB)")
            self._base.execute("BEGIN")
        except sqlite3.Error:
            self.close()
            raise

    def add(self, records: Iterable[Record]) -> None:
        """Take some records."""
        rows = [(codec.encode_identity(each.identity), *_packed(each)) for each in records]
        self._base.executemany(
            "INSERT INTO records VALUES (?, ?, ?, ?)",
            [(user, place, kind, content) for place, (user, kind, content) in enumerate(rows, self.count)],
        )
        self.count += len(rows)

    def groups(self) -> Iterator[list[Record]]:
        """Give all records, some hundreds at a time, those of a user together and in their order."""
        self._base.execute("COMMIT")
        found = self._base.execute("SELECT user, kind, content FROM records ORDER BY user, place")
        while rows := found.fetchmany(_ROWS):
            yield [_unpacked(*row) for row in rows]

    def close(self) -> None:
        """Remove it."""
        self._base.close()
        self._aside.cleanup()


def _packed(record: Record) -> tuple[str, bytes]:
    if record.event is not None:
        return "event", codec.encode_event(record.event)
    return ("profile", _encode(record.properties)) if record.properties is not None else ("identity", b"")


def _unpacked(user: bytes, kind: str, content: bytes) -> Record:
    identity = codec.decode_identity(user)
    if kind == "event":
        return Record(identity, codec.decode_event(content))
    return Record(identity, properties=_decode(content) if kind == "profile" else None)
