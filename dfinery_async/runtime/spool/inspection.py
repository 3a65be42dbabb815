"""Looking into a spool's folder from outside, and throwing away what waits there. What is in use is left alone."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dfinery_async.core.spool_rows import read_note
from dfinery_async.errors import SpoolError
from dfinery_async.runtime.spool.files import beside
from dfinery_async.runtime.spool.slots import Slot, existing, figures_of, owner_of, take

__all__ = ["SlotState", "drop_all", "look"]

_KINDS = ("events", "identities", "profiles")
_NOTHING = {"units": 0, "events": 0, "identities": 0, "profiles": 0, "damaged": 0}


class SlotState(msgspec.Struct, frozen=True, kw_only=True):
    """What is in one slot; counts are `None` where they can't be told, as it is in use or damaged.

    Of one in use its owner tells how many units wait, every few seconds while that changes.

    Attributes:
        slot: its name.
        owner: the process that uses it, `None` when nobody does; 0 when it did not say which it is.
        bytes: size of its files.
        units: that wait.
        events: of them.
        profiles: of them.
        identities: of them.
        damaged: units that could not be read and were set aside.
        aside: names of damaged files that were moved aside.
        problem: why the counts can't be told.
        as_of: when the owner of one in use told the figures.
        oldest: since when, as the owner knows, the oldest unit waits.
    """

    slot: str
    owner: int | None = None
    bytes: int = 0
    units: int | None = None
    events: int | None = None
    profiles: int | None = None
    identities: int | None = None
    damaged: int | None = None
    aside: list[str] = []
    problem: str | None = None
    as_of: dt.datetime | None = None
    oldest: dt.datetime | None = None


def look(root: Path) -> list[SlotState]:
    """Say what is in each slot of a folder.

    Raises:
        SpoolError: it is no folder of a spool.
    """
    states: list[SlotState] = []
    for folder, slot in _slots(root):
        state: dict[str, Any] = {"slot": folder.name, **_files(folder)}
        if slot is None:
            state["owner"] = owner_of(folder) or 0
            state["problem"] = "in use"
            state |= _told(folder)
        else:
            try:
                state |= _counts(folder / "spool.db")
            finally:
                slot.release()
        states.append(SlotState(**state))
    return states


def drop_all(root: Path) -> list[SlotState]:
    """Delete what waits in all slots that nobody uses. Returns what was in each slot; those in use have an owner.

    Raises:
        SpoolError: it is no folder of a spool, or something can't be deleted.
    """
    states = look(root)
    for folder, slot in _slots(root):
        if slot is None:
            continue
        try:
            path = folder / "spool.db"
            for each in (*folder.glob("spool.db.corrupt-*"), *beside(path), folder / "reserve", path):
                each.unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"{folder} can't be emptied: {(error.strerror or '').lower()}") from None
        finally:
            slot.release()
    return states


def _slots(root: Path) -> Iterator[tuple[Path, Slot | None]]:
    if not root.is_dir():
        raise SpoolError(f"there is no folder {root}")
    for folder in existing(root):
        yield folder, take(folder)


def _files(folder: Path) -> dict[str, Any]:
    names = [path for path in folder.glob("spool.db*") if path.is_file()]
    aside = sorted(path.name for path in names if ".corrupt-" in path.name and not path.name.endswith("-wal"))
    return {"bytes": sum(path.stat().st_size for path in names), "aside": aside}


def _told(folder: Path) -> dict[str, Any]:
    if (told := figures_of(folder)) is None:
        return {}
    oldest = None if told.oldest is None else _moment(told.oldest)
    return {"units": told.units, "as_of": _moment(told.moment), "oldest": oldest}


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _counts(path: Path) -> dict[str, Any]:
    if not path.exists():
        return _NOTHING
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return _NOTHING
            counts = dict(db.execute("SELECT kind, count(*) FROM unit GROUP BY kind").fetchall())
            for packed, crc in db.execute("SELECT seqs, crc FROM done").fetchall():
                for seq in read_note(packed, crc):
                    for (kind,) in db.execute("SELECT kind FROM unit WHERE seq = ?", (seq,)).fetchall():
                        counts[kind] -= 1
            (damaged,) = db.execute("SELECT count(*) FROM dead").fetchone()
    except sqlite3.Error as error:
        return {"problem": f"can't be read: {error}"}
    named = {name: counts.get(kind, 0) for kind, name in enumerate(_KINDS)}
    return {"units": sum(counts.values()), **named, "damaged": damaged}
