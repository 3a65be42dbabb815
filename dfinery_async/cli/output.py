"""Standard output and standard error: results on the one, messages and progress on the other."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import msgspec
from rich.cells import cell_len, chop_cells
from rich.console import Console

__all__ = ["error_console", "print_json", "say", "show", "show_figure", "show_progress", "tell_logs", "warn"]

_LEAST_WIDTH: Final = 40
_USUAL_WIDTH: Final = 80


def error_console() -> Console:
    """Return a console on standard error that prints texts as they are."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def show_progress(*, as_json: bool) -> bool:
    """Whether a progress bar helps anybody: only on a terminal, and not beside `--json`."""
    return not as_json and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def show(text: str, head: str = "") -> None:
    """Print a result for people on standard output. On a terminal that is narrower, the text goes on below itself."""
    print(_folded(text, sys.stdout, head), flush=True)


def show_figure(name: str, figure: str, note: str = "") -> None:
    """Print a figure of a report, with what it means."""
    show(note, f"{name:<10}{figure:>12}  ")


def say(message: str) -> None:
    """Print a message for people on standard error."""
    sys.stderr.write("".join(f"{_folded(line, sys.stderr)}\n" for line in message.split("\n")))
    sys.stderr.flush()


def _folded(text: str, stream: TextIO, head: str = "") -> str:
    """Fold a line between words to the width of a terminal; where the stream is none, it stays one line.

    A word that is longer is cut only beside a head: in a message it may be a name to be copied.
    """
    width = _width(stream)
    if width is None or cell_len(head + text) <= width:
        return f"{head}{text}".rstrip()
    words = text.split(" ")
    if head:
        words = [piece for word in words for piece in chop_cells(word, width - cell_len(head)) or [""]]
    lines, used = [head], cell_len(head)
    for place, word in enumerate(words):
        if place and used + 1 + cell_len(word) > width:
            lines.append(" " * len(head))
            used = len(head)
        elif place:
            lines[-1] += " "
            used += 1
        lines[-1] += word
        used += cell_len(word)
    return "\n".join(line.rstrip() for line in lines)


def _width(stream: TextIO) -> int | None:
    if not stream.isatty():
        return None
    told = os.environ.get("COLUMNS", "")
    try:
        columns = int(told) if told.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(_LEAST_WIDTH, columns or _USUAL_WIDTH)


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
