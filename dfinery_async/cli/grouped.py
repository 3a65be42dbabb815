"""Reading files user by user, whatever the order of their lines."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from typing import Final

from dfinery_async.cli.exits import CliError, Exit
from dfinery_async.cli.reading import Reading
from dfinery_async.cli.rejects import RejectsFile
from dfinery_async.cli.source import Source
from dfinery_async.core.records import Record
from dfinery_async.runtime.grouping import UserGroups
from dfinery_async.runtime.threads import in_thread

__all__ = ["GroupedReading"]

_ROWS: Final = 2000


class GroupedReading(Reading):
    """Files that are read to their end first, and then given user by user, out of a temporary file."""

    def __init__(self, sources: Sequence[Source], rejects: RejectsFile | None = None) -> None:
        super().__init__(sources, rejects)
        self._given: float | None = None

    @property
    def fraction(self) -> float | None:
        """How much is handed over, from 0 to 1."""
        return super().fraction if self._given is None else self._given

    async def blocks(self) -> AsyncIterator[Iterator[Record]]:
        """Read all files, then give what was in them; raises as `Reading.blocks` does."""
        try:
            with closing(UserGroups()) as groups:
                async for block in self._grouped(groups):
                    yield block
        except (sqlite3.Error, OSError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise CliError(
                f"the temporary file of --pack full can't be used: {reason.lower()}; TMPDIR names another place for it",
                Exit.INCOMPLETE,
            ) from None

    async def _grouped(self, groups: UserGroups) -> AsyncIterator[Iterator[Record]]:
        self.state: str = "grouping by user"
        waiting: list[Record] = []
        async for block in super().blocks():
            waiting += block
            if len(waiting) >= _ROWS:
                await in_thread(groups.add, waiting)
                waiting = []
        await in_thread(groups.add, waiting)
        given, found = 0, groups.groups()
        while rows := await in_thread(next, found, None):
            self.state = ""
            given += len(rows)
            self._given = given / groups.count
            yield iter(rows)
