"""The command `dfinery`. Importing this package is cheap; its requirements are the extra `dfinery-async[cli]`."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Final

__all__ = ["main"]

_INTERRUPTED: Final = 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # While modules are loaded, and while the interpreter ends, Ctrl-C has nothing to tidy up.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _end)
    try:
        from dfinery_async.cli.app import run  # noqa: PLC0415 - without the extra there must be a helpful line
        from dfinery_async.cli.output import tell_logs  # noqa: PLC0415 - rich is of that extra
        from dfinery_async.cli.streams import prepare  # noqa: PLC0415 - as little as can be before Ctrl-C is quiet
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write('dfinery: the command line needs its extra: pip install "dfinery-async[cli]"\n')
        sys.exit(2)
    prepare()
    tell_logs()
    try:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code: int = run()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    if interruptible:
        signal.signal(signal.SIGINT, _end)
    sys.exit(code)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED)
