"""A watch over all that a test makes the library tell: no token, no e-mail address, no phone number may be in it.

It looks into log records with their fields, into warnings, into the text of every error that the library makes (those
that a test expects and catches, too), and into what goes to standard error. Tests hand out addresses, phone numbers and
tokens all over the place, so the whole suite is the test.
"""

from __future__ import annotations

import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dfinery_async import errors
from dfinery_async.emulator import Emulator

PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.\w{2,}|(?<!\d)8210\d{7,8}(?!\d)|(?<!\d)010-\d{3,4}-\d{4}(?!\d)|\S*CANARY\S*")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_MOST = 5000  # texts and errors of one test that are kept


class Watch(logging.Handler):
    """What was told during a test, and what of it nobody should have been told."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.errors: list[errors.DfineryError] = []
        self.tokens: set[str] = set()
        self._told: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
        self.tell(f"log of {record.name}", f"{record.getMessage()} {fields}")
        if record.exc_info and record.exc_info[1] is not None:
            self.tell(f"log of {record.name}", "".join(traceback.format_exception_only(record.exc_info[1])))

    def tell(self, where: str, text: str) -> None:
        """Note a text that came out."""
        if len(self._told) < _MOST:
            self._told.append((where, text))

    @contextmanager
    def on(self) -> Iterator[Watch]:
        """Watch while the block lasts."""
        ours = logging.getLogger("dfinery_async")
        level = ours.level
        logging.getLogger().addHandler(self)
        ours.setLevel(logging.DEBUG)
        _watching.append(self)
        try:
            yield self
        finally:
            _watching.remove(self)
            logging.getLogger().removeHandler(self)
            ours.setLevel(level)

    def found(self) -> list[str]:
        """Say where something was told that should not have been, without telling it again."""
        told = [*self._told, *((type(error).__name__, f"{error} {error!r}") for error in self.errors)]
        return sorted({where for where, text in told if PERSONAL.search(text) or any(t in text for t in self.tokens)})

    def forget(self) -> None:
        """Let pass what was told so far: a test of the watch itself told it."""
        self._told.clear()
        self.errors.clear()


_watching: list[Watch] = []  # the last one is asked first; the others see logs only


def _make_error(kind: type[errors.DfineryError], *_: Any, **__: Any) -> errors.DfineryError:
    error = Exception.__new__(kind)
    if _watching and len(_watching[-1].errors) < _MOST:
        _watching[-1].errors.append(error)
    return error


def _make_emulator(emulator: Emulator, *arguments: Any, **settings: Any) -> None:
    _init(emulator, *arguments, **settings)
    if _watching:
        _watching[-1].tokens |= {emulator.import_token, emulator.export_token}


def _warn(message: Any, category: Any = None, stacklevel: int = 1, **options: Any) -> None:
    if _watching:
        _watching[-1].tell("warning", str(message))
    _warn_really(message, category, stacklevel + 1, **options)


# From here on, in this process, for good: these only look on.
_init, _warn_really = Emulator.__init__, warnings.warn
errors.DfineryError.__new__ = _make_error  # type: ignore[method-assign, assignment]
Emulator.__init__ = _make_emulator  # type: ignore[method-assign, assignment]
warnings.warn = _warn  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def canary(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Watch that nothing personal and no token is told, in every test."""
    watch = Watch()
    with watch.on():
        yield watch
    for _, name, text in request.node._report_sections:
        if name == "stderr":
            watch.tell("standard error", text)
    assert watch.found() == [], "told what nobody should be told"
