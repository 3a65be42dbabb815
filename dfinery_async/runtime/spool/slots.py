"""Slots: each process that uses a spool's folder has a sub-folder of its own, and takes over those whose owner died.

A slot is owned by whoever holds flock(2) on its lock file. The lock is not on the database: SQLite's own locks vanish
as soon as anything in the process opens and closes that file. It ends with the process, however that ends.

The lock file says who its owner is, in its first line, and how much waits, in its second. Both are the word of whoever
holds the lock: who takes it empties the file, and who finds it free believes nothing of what a dead owner left there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dfinery_async.core.spool_figures import Figures, line_of, read_line
from dfinery_async.errors import SpoolError, SpoolLocked
from dfinery_async.runtime.spool import forks
from dfinery_async.runtime.spool.files import make_folder

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Slot", "claim", "existing", "figures_of", "owner_of", "slot_folder", "take", "take_over"]

MOST: Final = 256
"""Slots in one folder."""

_NAME: Final = re.compile(r"slot-(\d{3})")
_PLAIN: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FLAGS: Final = os.O_RDWR | os.O_CREAT | _PLAIN
_LONGEST: Final = 4096  # bytes of a lock file
_TRIES: Final = 5  # a line that was read while it was written is read again


class Slot:
    """A sub-folder that is ours until `release()`, or until the process ends.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        forks.guard(self)

    def tell(self, figures: Figures) -> None:
        """Tell others how much waits. It is not worth a sync, nor an error: what can't be written is left out."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._lock, _owner_line() + line_of(figures), 0)

    def release(self) -> None:
        """Give it back."""
        if self._lock >= 0:
            os.ftruncate(self._lock, 0)
            self.drop()

    def drop(self) -> None:
        """Close the lock file and nothing else: in a forked child the parent keeps the lock."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def claim(root: Path, *, alone: bool = False) -> Slot:
    """Take the first slot that is free, a new one if need be.

    Args:
        root: the spool's folder.
        alone: take the first one or none: there is to be one owner.

    Raises:
        SpoolLocked: none is free.
        SpoolError: the folder can't be used.
    """
    make_folder(root)
    for number in range(1 if alone else MOST):
        if (slot := take(slot_folder(root, number))) is not None:
            return slot
    pid = owner_of(slot_folder(root, 0))
    who = "another process" if pid is None else f"process {pid}"
    which = "" if alone else f", and so are all {MOST} slots of it"
    raise SpoolLocked(f"the spool {root} is in use by {who}{which}")


def take_over(root: Path) -> Iterator[Slot]:
    """Take all slots that nobody owns."""
    for folder in existing(root):
        if (slot := take(folder)) is not None:
            yield slot


def existing(root: Path) -> list[Path]:
    """Return the folders of all slots there are, in order."""
    try:
        return sorted(path for path in root.iterdir() if _NAME.fullmatch(path.name))
    except OSError as error:
        raise SpoolError(f"the spool's folder {root} can't be read: {(error.strerror or '').lower()}") from None


def owner_of(folder: Path) -> int | None:
    """Return the process that owns a slot, as far as it said so."""
    words = _lines(folder)[0].split()
    return int(words[0]) if words and words[0].isdigit() else None


def figures_of(folder: Path) -> Figures | None:
    """Return how much waits in a slot that somebody owns, as far as the owner has said so."""
    for _ in range(_TRIES):
        lines = _lines(folder)
        if len(lines) < 2:
            return None
        if (figures := read_line(lines[1])) is not None:
            return figures
    return None


def _lines(folder: Path) -> list[bytes]:
    """Return the lines of a lock file, one at the least."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_NONBLOCK | _PLAIN)
    except OSError:
        return [b""]
    try:
        return os.read(lock, _LONGEST).splitlines() or [b""]
    except OSError:
        return [b""]
    finally:
        os.close(lock)


def _owner_line() -> bytes:
    return f"{os.getpid()} {socket.gethostname()}\n".encode("ascii", "replace")


def slot_folder(root: Path, number: int) -> Path:
    """Return where the slot of a number is; who wants to be alone takes the first one, 0."""
    return root / f"slot-{number:03}"


def take(folder: Path) -> Slot | None:
    """Take one slot; `None` when somebody has it."""
    if fcntl is None:  # pragma: no cover - Windows
        raise SpoolError("the spool needs file locks of POSIX, which this system does not have")
    make_folder(folder)
    try:
        lock = os.open(folder / "lock", _FLAGS, 0o600)
    except OSError as error:
        raise SpoolError(f"the spool's lock in {folder} can't be opened: {(error.strerror or '').lower()}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return None
        raise SpoolError(f"the spool's lock in {folder} can't be taken: {(error.strerror or '').lower()}") from None
    os.fchmod(lock, 0o600)
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, _owner_line(), 0)
    except OSError:
        pass  # a full disk: the lock holds without the note as well
    return Slot(folder, lock)
