"""A growing file brought to the disk while it grows, so that its end does not have to wait for all of it.

The system keeps what is written in memory for many seconds. A file that is synced only when it is whole then takes the
time of the network and the time of the disk, one after the other.
"""

from __future__ import annotations

import asyncio
from typing import Final

from dfinery_async.runtime.files import AtomicFile
from dfinery_async.runtime.threads import finished

__all__ = ["Writeback"]

_STEP: Final = 16 * 1024 * 1024  # bytes


class Writeback:
    """Syncs a file in a thread each time that it has grown by 16 MiB, unless the last sync still goes on.

    Args:
        file: which. It must not be closed before `ended` has returned.
    """

    def __init__(self, file: AtomicFile) -> None:
        self._file = file
        self._grown = 0  # since the last sync began
        self._sync: asyncio.Future[None] | None = None

    def grew(self, size: int) -> None:
        """So many bytes more were written.

        Raises:
            OSError: a sync has failed; the system tells of it once.
        """
        self._grown += size
        if self._grown < _STEP:
            return
        if self._sync is not None:
            if not self._sync.done():
                return
            self._sync.result()
        self._grown = 0
        self._sync = asyncio.get_running_loop().run_in_executor(None, self._file.sync)

    async def ended(self) -> None:
        """Wait until no sync is under way.

        Raises:
            OSError: one has failed.
        """
        sync, self._sync = self._sync, None
        if sync is not None:
            await finished(sync)
