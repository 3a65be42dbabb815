"""The command `dfinery`. Importing this package is cheap; its requirements are the extra `dfinery-async[cli]`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from dfinery_async.cli.app import run  # noqa: PLC0415 - without the extra there must be a helpful line
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write('dfinery: the command line needs its extra: pip install "dfinery-async[cli]"\n')
        sys.exit(2)
    sys.exit(run())
