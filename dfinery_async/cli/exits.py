"""Exit codes, and which error ends with which."""

from __future__ import annotations

import enum
import errno

from dfinery_async import errors
from dfinery_async.cli.texts import plain

__all__ = ["CliError", "Exit", "ending", "exit_of", "unwritable"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class Exit(enum.IntEnum):
    """What the shell gets. The numbers are part of the contract with scripts."""

    OK = 0
    INCOMPLETE = 1
    """Something was rejected, dropped or left, or an answer broke off."""
    USAGE = 2
    """Wrong use, missing settings, or a file that can't be read at all."""
    UNAUTHORIZED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class CliError(Exception):
    """Ends a command with a message for people.

    Attributes:
        code: the exit code.
    """

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code


def exit_of(error: errors.DfineryError) -> Exit:
    """Return the exit code of an error that ended a command."""
    match error:
        case errors.ConfigError() | errors.InvalidInputError():
            return Exit.USAGE
        case errors.InvalidToken() | errors.InvalidServiceId():
            return Exit.UNAUTHORIZED
        case errors.ConnectionFailed() | errors.UnexpectedResponse():
            return Exit.UNREACHABLE  # whatever answers at this address, it is not the API
        case _:
            return Exit.INCOMPLETE


def ending(error: errors.DfineryError) -> tuple[Exit, str]:
    """Return the exit code and what people are told of an error that ended a command."""
    code = exit_of(error)
    return code, f"{error}; `dfinery doctor` shows how far one gets" if code is Exit.UNREACHABLE else str(error)


def unwritable(path: str, error: OSError) -> CliError:
    """Return what ends a command that can't write a file: wrong use, unless the disk is to blame."""
    reason = error.strerror.lower() if error.strerror else "the system refuses it"
    code = Exit.INCOMPLETE if error.errno in _NO_ROOM else Exit.USAGE
    return CliError(f"{plain(path)} can't be written: {reason}", code)
