"""Text files of an export: answers in, one file out."""

from __future__ import annotations

import asyncio
import datetime as dt

from dfinery_async.core.columns import Kinds
from dfinery_async.core.export_formats import Form, text_writer
from dfinery_async.errors import ExportError
from dfinery_async.runtime.compression import Compressor, compressor
from dfinery_async.runtime.export_parts import Answer
from dfinery_async.runtime.files import AtomicFile
from dfinery_async.runtime.threads import in_thread
from dfinery_async.runtime.writeback import Writeback

__all__ = ["TextFile", "check_columns"]

_TURN = 64 * 1024  # bytes that are typed in one turn of the loop


class TextFile:
    """CSV or JSON Lines under way.

    Args:
        file: where it goes.
        form: how it is written.
        zone: time zone of datetimes without one.
        kinds: what columns hold.

    Attributes:
        columns: of all answers; known when there was one.
        rows: of the answers that are in it.
    """

    def __init__(self, file: AtomicFile, form: Form, zone: dt.tzinfo, kinds: Kinds) -> None:
        self.columns: tuple[str, ...] | None = None
        self.rows: int = 0
        self._file = file
        self._writeback = Writeback(file)
        self._form = form
        self._zone = zone
        self._kinds = kinds

    async def add(self, answer: Answer) -> None:
        """Write an answer behind those before it; when that fails, nothing of it is left.

        Raises:
            ExportError: it is no CSV, has other columns than the first, or broke off.
            OSError: it can't be written.
        """
        start = self._file.size
        columns = check_columns(self.columns, answer)
        try:
            try:
                rows = await self._write(answer)
            finally:
                await self._writeback.ended()
        except BaseException:
            self._file.truncate(start)
            raise
        self.columns = columns
        self.rows += rows

    async def _write(self, answer: Answer) -> int:
        # A compressed file can't go back into the middle of a member, so each answer is one.
        packer = compressor(self._form.packing) if self._form.packing else None
        writer = text_writer(self._form)(answer.header, self._zone, self._kinds)
        await self._put(writer.begin(first=self.columns is None), packer)
        copies = self._form.name == "csv" and not self._form.spreadsheet_safe
        while data := await answer.take():
            turn = len(data) if copies else _TURN
            for start in range(0, len(data), turn):
                await self._put(writer.feed(data[start : start + turn]), packer)
                if turn < len(data):
                    await asyncio.sleep(0)
        await self._put(writer.finish(complete=answer.complete), packer)
        if packer is not None:
            self._append(await in_thread(packer.flush))
        return writer.rows

    async def _put(self, data: bytes, packer: Compressor | None) -> None:
        self._append(data if packer is None else await in_thread(packer.compress, data))

    def _append(self, data: bytes) -> None:
        # Plain writes are not worth a thread: at the speed of a network it costs more than it saves.
        self._file.write(data)
        self._writeback.grew(len(data))


def check_columns(known: tuple[str, ...] | None, answer: Answer) -> tuple[str, ...]:
    """Return an answer's columns, which must be those of the answers before it.

    Raises:
        ExportError: they are others.
    """
    if known is not None and answer.header.columns != known:
        raise ExportError("the parts of the range have different columns, so one file can't hold them")
    return answer.header.columns
