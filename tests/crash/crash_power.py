"""What a disk may hold after a power cut, made from a record of all writes and syncs of a store.

The store runs on SQLite with a VFS that notes what is written, synced, cut and deleted, and then does it. Beside that
stands what callers were told. A cut at some moment leaves of each file all that was synced, and of every later write
nothing, all of it, or some of its sectors. The store must open from any such image, sound, and with every unit that
somebody was told is kept and that was not yet done.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from dfinery_async.core import codec
from dfinery_async.core.spool_rows import row_of
from dfinery_async.core.spool_shelf import Cleanup
from dfinery_async.core.work import Work
from dfinery_async.errors import SpoolError
from dfinery_async.runtime.spool import store as store_module
from dfinery_async.runtime.spool.store import Durability, Store
from dfinery_async.runtime.spool.writer import Step

__all__ = ["Findings", "Record", "check_images", "record"]

_SECTOR = 512
_BINDING = "svc at https://openapi.dfinery.ai"
_USERS = [codec.encode_user(f"u{number}") for number in range(20)]


class Findings(NamedTuple):
    """What images came to: how many, units lost, images that lost any, and those that are corrupt."""

    images: int = 0
    lost: int = 0
    losing: int = 0
    corrupt: int = 0

    def __add__(self, other: Findings) -> Findings:  # type: ignore[override] # figures are added up
        return Findings(*(mine + its for mine, its in zip(self, other, strict=True)))


class Record:
    """All that a store did to its files, and what callers knew.

    Attributes:
        steps: `("write", file, place, bytes)`, `("cut", file, size)`, `("sync", file)`, `("delete", file)`,
            `("kept", numbers)` after it was told, `("done", numbers)` before it was asked for.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []


def record(seed: int, durability: Durability) -> Record:
    """Run a store for a while, with commits of all sizes, notes, deletions and checkpoints."""
    chance = random.Random(seed)
    log = Record()
    folder = Path(tempfile.mkdtemp(prefix="dfinery-power-"))
    try:
        with _recorded(log):
            store = Store(folder, _BINDING, durability)
            store.open()
            _work(store, log, chance)
            if chance.random() < 0.5:
                store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return log


def _work(store: Store, log: Record, chance: random.Random) -> None:
    last, waiting, noted = 0, set[int](), dict[int, list[int]]()
    for _ in range(chance.randint(6, 16)):
        rows = []
        for _ in range(chance.choice([0, 1, 2, 5, 40])):
            last += 1
            payload = b"x" * chance.randint(50, 400)
            rows.append(row_of(last, chance.choice(_USERS), Work("events", payload, len(payload)), store.seed))
        done: list[list[int]] = []
        if waiting and chance.random() < 0.6:
            done.append(chance.sample(sorted(waiting), min(len(waiting), chance.randint(1, 20))))
        cleanup = Cleanup()
        if noted and chance.random() < 0.3:
            cleanup = Cleanup(rows=[number for each in noted.values() for number in each], notes=list(noted))
            noted = {}
        for group in done:
            log.steps.append(("done", group))
            waiting -= set(group)
            noted[max(group)] = group
        outcome = store.commit(Step(rows=rows, done=done, cleanup=cleanup))
        assert outcome[1:] == (None, None), outcome
        numbers = [row[0] for row in rows]
        log.steps.append(("kept", numbers))
        waiting |= set(numbers)
        if chance.random() < 0.1:
            store.tidy()


def check_images(log: Record, count: int, seed: int, place: Path) -> Findings:
    """Make so many images of a record and open each.

    Args:
        log: the record.
        count: how many.
        seed: decides where they are cut, and what of the last writes is on disk.
        place: folder for the images; one in memory is quickest.
    """
    chance = random.Random(seed)
    findings = Findings()
    for moment in sorted(chance.randint(1, len(log.steps)) for _ in range(count)):
        findings += _check(log.steps[:moment], chance, place)
    return findings


def _check(steps: list[tuple[Any, ...]], chance: random.Random, place: Path) -> Findings:
    files = _image(steps, chance)
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "reserve").touch()  # it is of no matter here, and large
        kept = {number for step in steps if step[0] == "kept" for number in step[1]}
        done = {number for step in steps if step[0] == "done" for number in step[1]}
        try:
            there = _units(folder)
        except (SpoolError, sqlite3.Error):
            return Findings(1, 0, 0, 1)
        lost = len(kept - done - there)
        return Findings(1, lost, int(lost > 0), 0)
    finally:
        shutil.rmtree(folder)


def _units(folder: Path) -> set[int]:
    store = Store(folder, _BINDING, "process")
    store.open()
    try:
        window = store.read(0, 1_000_000, 1 << 30)
        if window.damaged or store._connection().execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            raise SpoolError("damaged")
    finally:
        store._connection().close()  # without a checkpoint, which takes time
    return {unit.seq for unit in window.units}


def _image(steps: list[tuple[Any, ...]], chance: random.Random) -> dict[str, bytes]:
    """Return what may stand in each file: all up to its last sync, and of the rest what chance leaves."""
    synced: dict[str, int] = {}
    for index, step in enumerate(steps):
        if step[0] == "sync":
            synced[step[1]] = index
    keep = chance.choice([0.0, 0.3, 0.7, 1.0])  # of what was not synced
    files: dict[str, bytearray] = {}
    for index, step in enumerate(steps):
        what = step[0]
        if what == "delete":
            files.pop(step[1], None)
        elif what in {"write", "cut"}:
            content = files.setdefault(step[1], bytearray())
            certain = index <= synced.get(step[1], -1)
            if what == "cut":
                if certain or chance.random() < keep:
                    del content[step[2] :]
            elif certain:
                _put(content, step[2], step[3])
            else:
                _put_some(content, step[2], step[3], keep, chance)
    return {name: bytes(content) for name, content in files.items()}


def _put(content: bytearray, place: int, data: bytes) -> None:
    if len(content) < place:
        content.extend(bytes(place - len(content)))
    content[place : place + len(data)] = data


def _put_some(content: bytearray, place: int, data: bytes, keep: float, chance: random.Random) -> None:
    fate = chance.random()
    if fate < keep * 0.7:
        _put(content, place, data)
    elif fate < keep:  # torn
        for start in range(0, len(data), _SECTOR):
            if chance.random() < 0.5:
                _put(content, place + start, data[start : start + _SECTOR])


# The recording VFS.


@contextmanager
def _recorded(log: Record) -> Iterator[None]:
    """Have stores opened within the block run on the recording VFS."""
    vfs = _Vfs(log)
    before = vars(store_module)["sqlite3"]
    vars(store_module)["sqlite3"] = _Module()
    try:
        yield
    finally:
        vars(store_module)["sqlite3"] = before
        vfs.unregister()


class _Module:
    """What a store uses of `sqlite3`, on apsw."""

    Error = sqlite3.Error
    Connection = sqlite3.Connection

    @staticmethod
    def connect(path: Path, **_: object) -> Any:
        return _Connection(str(path), vfs=_Vfs.NAME)


class _Connection(apsw.Connection):
    def executescript(self, text: str) -> None:
        self.execute(text).fetchall()


class _Vfs(apsw.VFS):
    NAME = "dfinery-recording"

    def __init__(self, log: Record) -> None:
        self.log = log
        super().__init__(self.NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
        return _File(self.log, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802 - SQLite's name and argument
        super().xDelete(name, sync_folder)
        self.log.steps.append(("delete", Path(name).name))


class _File(apsw.VFSFile):
    def __init__(self, log: Record, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._log = log
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name)).name

    def xWrite(self, data: bytes, place: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, place)
        self._log.steps.append(("write", self._name, place, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(size)
        self._log.steps.append(("cut", self._name, size))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        self._log.steps.append(("sync", self._name))
