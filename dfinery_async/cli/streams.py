"""Standard streams that are closed, full or gone: a command says so where it can, and never ends in a traceback."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Final, TextIO

from dfinery_async.cli.exits import CliError, Exit

__all__ = ["prepare"]

_ERRORS: Final = 2


def prepare() -> None:
    """Make the standard streams safe to use; terminals are left as they are.

    One that is closed is opened so that using it fails as such: otherwise the next file that is opened would get its
    number, and what is printed would land in that file. What can't be written to standard output ends the command,
    what can't be written to standard error is lost.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # it gets the lowest number that is free: this one
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - so it is when it was closed
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a number, and open to the end
    sys.stdout = _guarded(sys.stdout, 1)
    sys.stderr = _guarded(sys.stderr, _ERRORS)


class _Output(io.FileIO):
    """Where a stream is written to; after a failure, nowhere, so that what is left in buffers fails no more."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0  # which does not happen where writing waits
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self.fileno() == _ERRORS:
                return memoryview(data).nbytes
            if isinstance(error, BrokenPipeError):
                raise
            reason = (error.strerror or "the system refuses it").lower()
            raise CliError(f"standard output can't be written: {reason}", Exit.INCOMPLETE) from None


def _guarded(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None and stream.isatty():
        return stream
    errors = None if stream is None else stream.errors
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(number, "w", closefd=False)),
        encoding="utf-8" if stream is None else stream.encoding,
        errors=errors or ("backslashreplace" if number == _ERRORS else "strict"),
        line_buffering=number == _ERRORS,
    )
