"""Files that exist under their name only when they are whole.

They are written aside in the same directory and renamed at the end, so that a reader never sees half a file and a
failure leaves what was there before. They hold personal data: only the user may read them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import BinaryIO, Self

from dfinery_async.errors import ConfigError, InvalidInputError

__all__ = ["AtomicFile", "read_settings_file"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OWNER_ONLY = 0o600


class AtomicFile:
    """A file under way. Leaving the block without `commit()` removes what was written.

    The file stands beside its goal as `NAME.xxxxxxxx.part` with a name of its own, so that two writers do not meet, and
    one that was killed is in nobody's way. Writes are plain and synchronous: for chunks of an export, hops to a thread
    cost more than they save.

    Args:
        path: the goal. An existing file is replaced by `commit()`.

    Raises:
        InvalidInputError: the goal is a directory, a symbolic link, or anything else that is no plain file.
        OSError: the part file can't be made.
    """

    def __init__(self, path: Path) -> None:
        _check_goal(path)
        self.path = path
        self._part = path.with_name(f"{path.name}.{token_hex(4)}.part")
        self._file = os.fdopen(os.open(self._part, _FLAGS, _OWNER_ONLY), "wb")
        self._there = True

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    @property
    def raw(self) -> BinaryIO:
        """The file itself, for those that write into one."""
        return self._file

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)

    def truncate(self, size: int) -> None:
        """Go back to an earlier size."""
        self._file.seek(size)
        self._file.truncate()

    def sync(self) -> None:
        """Bring what was written to the disk. It may take seconds, and may run in a thread."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def commit(self) -> None:
        """Give the file its name. Call `sync()` before.

        Raises:
            InvalidInputError: a directory, a link or the like took the name meanwhile.
            OSError: it can't be renamed.
        """
        self._file.close()
        _check_goal(self.path)
        self._part.replace(self.path)
        self._there = False
        _sync_directory(self.path.parent)

    def discard(self) -> None:
        """Remove the file, unless it was committed."""
        try:
            self._file.close()  # a full disk may refuse what is still buffered
        except OSError:
            pass
        finally:
            if self._there:
                self._there = False
                self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()


def read_settings_file(path: str | os.PathLike[str], what: str, largest: int) -> bytes:
    """Return what a small file of settings holds.

    Args:
        path: the file.
        what: how the error calls it.
        largest: bytes in it at the most.

    Raises:
        ConfigError: it can't be read, or is too large.
    """
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as file:
            text = file.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "that is no file's name"
        raise ConfigError(f"{what} can't be read: {reason.lower()}: {name!r}") from None
    if len(text) > largest:
        raise ConfigError(f"{what} has more than {largest:,} bytes")
    return text


def _check_goal(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        return
    what = "a directory" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "no plain file"
    raise InvalidInputError(f"is {what}; give the name of a file", field="path")


def _sync_directory(path: Path) -> None:
    """Make the new name survive a power cut. Windows has no such call."""
    if os.name == "nt":  # pragma: no cover - Windows
        return
    directory = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
