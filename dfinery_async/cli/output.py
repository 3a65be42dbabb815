"""Standard output and standard error: results on the one, messages and progress on the other."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from rich.console import Console

__all__ = ["error_console", "print_json", "say", "show_progress", "tell_logs", "warn"]


def error_console() -> Console:
    """Return a console on standard error that prints texts as they are."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def show_progress(*, as_json: bool) -> bool:
    """Whether a progress bar helps anybody: only on a terminal, and not beside `--json`."""
    return not as_json and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def say(message: str) -> None:
    """Print a message for people on standard error."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def warn(message: str) -> None:
    """Print a warning or an error on standard error, under the command's name."""
    say(f"dfinery: {message}")


class _LogLines(logging.Handler):
    """Prints what the library logs as the command's own warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())


def tell_logs() -> None:
    """Print the library's warnings under the command's name, as Python would without it."""
    logging.getLogger("dfinery_async").addHandler(_LogLines(logging.WARNING))


def print_json(content: Mapping[str, Any]) -> None:
    """Print the one JSON object of `--json`, at once."""
    sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
    sys.stdout.flush()
