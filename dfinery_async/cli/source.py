"""Opening the files that a command is given, and reading them piece by piece beside a running event loop."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePath
from typing import Final, Literal, Protocol, TypeAlias

from dfinery_async.cli.columns import HeaderError
from dfinery_async.cli.csvlines import CsvReader
from dfinery_async.cli.exits import CliError
from dfinery_async.cli.jsonlines import JsonLinesReader
from dfinery_async.cli.texts import plain
from dfinery_async.core.records import BadLine, Kind, Record

__all__ = ["Format", "Source"]

Format: TypeAlias = Literal["jsonl", "csv"]

_CHUNK: Final = 64 * 1024  # small pieces, so that the senders have their turns in between
_ENDINGS: Final[dict[str, Format]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_BOM: Final = b"\xef\xbb\xbf"
_FOREIGN: Final = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it, or pipe it in: gunzip -c FILE | dfinery load … -"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it, or pipe it in: zstd -dc FILE | dfinery load … -"),
    (b"PK\x03\x04", "is a ZIP archive or a spreadsheet; save it as CSV in UTF-8"),
    (b"PAR1", "is a Parquet file; write it as JSON Lines or CSV"),
    (b"\xff\xfe", "is written in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is written in UTF-16; save it as UTF-8"),
)


class _Reader(Protocol):
    def feed(self, chunk: bytes) -> Iterator[Record | BadLine]: ...

    def finish(self) -> Iterator[Record | BadLine]: ...


class Source:
    """A file that is loaded, opened and looked at when it is made; close it when done.

    Args:
        path: the file; `-` is standard input.
        kind: what it holds.
        form: how its lines are written; by default its ending says so, and standard input is JSON Lines.

    Attributes:
        name: how messages call it.
        size: bytes in it, `None` where that is not known.
        done: bytes read so far.
        inode: device and number of the file, by which it is known under any name.

    Raises:
        CliError: the file can't be read at all.
    """

    def __init__(self, path: str, kind: Kind, form: Format | None) -> None:
        self.name: str = "standard input" if path == "-" else plain(path)
        self._kind: Kind = kind
        self._descriptor = self._open(path)
        try:
            status = os.fstat(self._descriptor)
            self._form: Format = form or self._form_of(path, status.st_mode)
            self.size: int | None = status.st_size if stat.S_ISREG(status.st_mode) else None
            self.done: int = 0
            self.inode: tuple[int, int] = (status.st_dev, status.st_ino)
            if self.size is not None or stat.S_ISDIR(status.st_mode):
                self._look()
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def blocks(self) -> AsyncIterator[Iterator[Record | BadLine]]:
        """Read the file from where it stands, a piece at a time.

        Raises:
            CliError: it can't be read any further.
        """
        reader = self._reader()
        while chunk := await self._next_chunk():
            first = self.done == 0
            self.done += len(chunk)
            yield self._guarded(reader.feed(self._text(chunk) if first else chunk))
        yield self._guarded(reader.finish())

    def _guarded(self, results: Iterator[Record | BadLine]) -> Iterator[Record | BadLine]:
        try:
            yield from results
        except HeaderError as error:
            raise self._unreadable(str(error)) from None

    def _form_of(self, path: str, mode: int) -> Format:
        if path == "-":
            return "jsonl"
        if stat.S_ISDIR(mode):
            raise self._unreadable("is a directory; name the files in it")
        ending = PurePath(path).suffix.lower()
        if ending not in _ENDINGS:
            endings = ", ".join(_ENDINGS)
            raise self._unreadable(f"ends in none of {endings}; say what it is with --format jsonl or --format csv")
        return _ENDINGS[ending]

    def _open(self, path: str) -> int:
        try:
            return os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise self._unreadable(_reason(error)) from None

    def _reader(self) -> _Reader:
        return CsvReader(self._kind) if self._form == "csv" else JsonLinesReader(self._kind)

    def _look(self) -> None:
        """Read the beginning of a regular file, so that a useless one is found before anything is sent."""
        start = os.lseek(self._descriptor, 0, os.SEEK_CUR)  # standard input may have been read before
        chunk = self._text(self._read())
        if self._form == "csv":
            reader = self._reader()
            for _ in self._guarded(reader.feed(chunk)):
                break
            if len(chunk) < _CHUNK // 2:
                for _ in self._guarded(reader.finish()):
                    pass
        os.lseek(self._descriptor, start, os.SEEK_SET)

    def _text(self, chunk: bytes) -> bytes:
        """Check the first piece of a file, and take a byte order mark off."""
        for magic, problem in _FOREIGN:
            if chunk.startswith(magic):
                raise self._unreadable(problem)
        if chunk[:64].count(0) * 3 >= len(chunk[:64]) > 0:
            raise self._unreadable("is no text in UTF-8: it is full of NUL bytes; save it as UTF-8")
        return chunk.removeprefix(_BOM)

    async def _next_chunk(self) -> bytes:
        if self.size is None:
            await _readable(self._descriptor)
        else:
            await asyncio.sleep(0)  # a file is always ready; let the senders work, too
        return self._read()

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError as error:
            raise self._unreadable(_reason(error)) from None

    def _unreadable(self, problem: str) -> CliError:
        return CliError(f"{self.name}: {problem}")


async def _readable(descriptor: int) -> None:
    """Wait until a pipe or terminal has something. A thread that reads could not be called back by Ctrl-C."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(descriptor, _settle, ready)
    except (PermissionError, NotImplementedError):
        return  # a device that is always ready, or Windows: there the read itself waits
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return "can't be read: this is no file name"
