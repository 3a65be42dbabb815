"""When the store is written to its file: now and then while the server runs, and when it has stopped."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from dfinery_async.emulator import state

if TYPE_CHECKING:
    from pathlib import Path

    from dfinery_async.emulator.store import Store

_log = logging.getLogger("dfinery_async.emulator")

_EVERY: Final = 3.0  # seconds, when something has changed
_SHARE: Final = 10  # so many times as long as a save took is the next one waited for
_BREATH: Final = 0.001


class _Cut(Exception):
    """The server stops, and a last save takes the place of this one."""


class Saver:
    """Saves a store that changes meanwhile, in a thread, so slowly that no request has to wait for it.

    Args:
        store: what is saved.
        path: the file.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path
        self._saved = store.changes
        self._end = asyncio.Event()
        self._cut = threading.Event()
        self._trouble = ""

    async def while_running(self) -> None:
        """Save now and then, until `finish`."""
        pause = _EVERY
        while not await self._ended_within(pause):
            if self._store.changes == self._saved:
                continue
            begin = time.monotonic()
            await asyncio.to_thread(self._save_slowly)
            pause = max(_EVERY, _SHARE * (time.monotonic() - begin))

    def end(self) -> None:
        """Have `while_running` end soon, and what it has begun to write thrown away."""
        self._cut.set()
        self._end.set()

    def finish(self) -> None:
        """Save what there is at the end.

        Raises:
            OSError: it can't be written.
        """
        state.save(self._store, self._path)

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._end.wait()
        except TimeoutError:
            return False

    def _save_slowly(self) -> None:
        changes = self._store.changes  # before the save: what comes during it is for the next one
        try:
            state.save(self._store, self._path, self._breathe)
        except _Cut:
            return
        except OSError as error:  # the last save raises it
            trouble = (error.strerror or type(error).__name__).lower()
            if trouble != self._trouble:
                _log.warning("the state can't be written: %s; it is as it was before, and tried again", trouble)
            self._trouble = trouble
        else:
            self._saved, self._trouble = changes, ""

    def _breathe(self) -> None:
        """Let the server's thread go on; both need the interpreter."""
        if self._cut.wait(_BREATH):
            raise _Cut
