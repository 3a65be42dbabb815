"""The file that takes what could not be delivered, in the form that `dfinery load` reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from dfinery_async.cli.exits import CliError, Exit
from dfinery_async.cli.texts import plain
from dfinery_async.core.records import BadLine
from dfinery_async.models import Rejection
from dfinery_async.runtime.rejects import reject_line

__all__ = ["RejectsFile", "is_set_aside"]


def is_set_aside(line: Mapping[str, object]) -> bool:
    """Whether a line is what an earlier load could not read and kept as text."""
    return set(line) == {"text", "error"}


class RejectsFile:
    """JSON Lines with an `"error"` beside each. Only its owner may read it, for it holds personal data.

    A line that was no object stands under `"text"`; one that an earlier load has set aside so stays as it is.

    Args:
        path: the file.
        inputs: device and number of the files that are read, none of which may be written over.
        add: keep what an earlier load wrote.

    Raises:
        CliError: it can't be written.
    """

    def __init__(self, path: str, inputs: Collection[tuple[int, int]], *, add: bool = False) -> None:
        self._name = plain(path)
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(path, flags, 0o600)
        except (OSError, ValueError) as error:
            raise self._unwritable(error, Exit.USAGE) from None
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self._file.close()
            raise CliError(f"the rejects file {self._name} is no regular file")
        if (status.st_dev, status.st_ino) in inputs:
            self._file.close()
            raise CliError(f"the rejects file {self._name} is one of the files to load; choose another name")
        if not add:
            os.ftruncate(descriptor, 0)
        self._size = os.lseek(descriptor, 0, os.SEEK_END)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as failure:
            raise self._unwritable(failure, Exit.INCOMPLETE) from None

    def add_line(self, file: str, bad: BadLine) -> None:
        """Keep a line that could not be read.

        Raises:
            CliError: the file can't be written.
        """
        line: dict[str, Any] = dict(bad.content or {})
        if is_set_aside(line):  # its first reason is the one that counts
            self._write(line)
            return
        error = {"message": str(bad), "file": file, "line": bad.line}
        if bad.field is not None:
            error["field"] = bad.field
        if bad.text is not None:
            line["text"] = bad.text
        self._write({**line, "error": error})

    def add(self, rejection: Rejection) -> None:
        """Keep a unit that the API refused.

        Raises:
            CliError: the file can't be written.
        """
        self._write(reject_line(rejection))

    def _write(self, line: dict[str, Any]) -> None:
        content = msgspec.json.encode(line) + b"\n"
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), self._size)  # half a line would spoil the next one, too
            os.lseek(self._file.fileno(), self._size, os.SEEK_SET)
            raise self._unwritable(error, Exit.INCOMPLETE) from None
        self._size += len(content)

    def _unwritable(self, error: OSError | ValueError, code: Exit) -> CliError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "this is no file name"
        return CliError(f"the rejects file {self._name} can't be written: {reason.lower()}", code)
