"""Opening the files that a command is given, and reading them piece by piece beside a running event loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import PurePath
from typing import BinaryIO, Final, Literal, Protocol, TypeAlias

import msgspec

from dfinery_async.cli.csvlines import CsvReader
from dfinery_async.cli.exits import CliError
from dfinery_async.cli.jsonlines import JsonLinesReader
from dfinery_async.cli.parquetrows import ParquetRows
from dfinery_async.cli.texts import plain
from dfinery_async.core.fields import HeaderError
from dfinery_async.core.mapping import TableMapping
from dfinery_async.core.records import BadLine, Kind, Record
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.errors import ConfigError, InvalidInputError
from dfinery_async.runtime.compression import Packing, Unpacker, UnpackingError
from dfinery_async.runtime.feeding import LINGER

__all__ = ["Format", "Shape", "Source"]

Format: TypeAlias = Literal["jsonl", "csv", "parquet"]

_CHUNK: Final = 64 * 1024  # small pieces, so that the senders have their turns in between
_ENDINGS: Final[dict[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_PACKED: Final[tuple[tuple[bytes, Packing], ...]] = ((b"\x1f\x8b", "gz"), (b"\x28\xb5\x2f\xfd", "zst"))
_PARQUET: Final = b"PAR1"
_BOM: Final = b"\xef\xbb\xbf"
_FOREIGN: Final = (
    (b"PK\x03\x04", "is a ZIP archive or a spreadsheet; save it as CSV in UTF-8"),
    (_PARQUET, "is a Parquet file; say so with --format parquet, or let its name end in .parquet"),
    (b"BZh", "is compressed with bzip2; pipe it in: bunzip2 -c FILE | dfinery load … -"),
    (b"\xfd7zXZ", "is compressed with xz; pipe it in: xz -dc FILE | dfinery load … -"),
    (b"\xff\xfe", "is written in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is written in UTF-16; save it as UTF-8"),
)


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How the files of a command are written.

    Attributes:
        kind: what they hold.
        form: how; by default the ending of each says so, and standard input is JSON Lines.
        mapping: what the columns of a table are that is not in our shape.
        taxonomy: types of the service's own properties.
    """

    kind: Kind
    form: Format | None = None
    mapping: TableMapping | None = None
    taxonomy: Taxonomy | None = None


class _Reader(Protocol):
    def feed(self, chunk: bytes) -> Iterator[Record | BadLine]: ...

    def finish(self) -> Iterator[Record | BadLine]: ...


class Source:
    """A file that is loaded, opened and looked at when it is made; close it when done.

    Args:
        path: the file; `-` is standard input.
        shape: how it is written.

    Attributes:
        path: as it was given.
        name: how messages call it.
        size: bytes in it, `None` where that is not known.
        done: bytes read so far.
        inode: device and number of the file, by which it is known under any name.
        left_out: columns that a mapping leaves out.
        on_pause: called when a pipe or terminal gives nothing for a moment, before it is waited for any longer.

    Raises:
        CliError: the file can't be read at all.
    """

    def __init__(self, path: str, shape: Shape) -> None:
        self.path: str = path
        self.name: str = "standard input" if path == "-" else plain(path)
        self._shape = shape
        self._descriptor = self._open(path)
        self._unpacker: Unpacker | None = None
        try:
            status = os.fstat(self._descriptor)
            self._form: Format = shape.form or self._form_of(path, status.st_mode)
            mapping = shape.mapping or TableMapping()
            if _ending(path) == ".tsv" and mapping.separator is None:
                self._shape = msgspec.structs.replace(shape, mapping=msgspec.structs.replace(mapping, separator="tab"))
            self.size: int | None = status.st_size if stat.S_ISREG(status.st_mode) else None
            self.done: int = 0
            self.inode: tuple[int, int] = (status.st_dev, status.st_ino)
            self.left_out: list[str] = []
            self.on_pause: Callable[[], Awaitable[object]] = _nothing
            if self.size is not None or stat.S_ISDIR(status.st_mode):
                self._look()
        except BaseException:
            os.close(self._descriptor)
            raise

    def digest(self, most: int) -> str:
        """Return what tells the first bytes of a regular file from others."""
        return hashlib.sha256(os.pread(self._descriptor, most, 0)).hexdigest()[:32]

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
        if self._form == "parquet":
            async for block in self._parquet_blocks():
                yield block
            return
        reader = self._reader()
        first = True
        while chunk := await self._next_chunk():
            for piece in self._unpacked(chunk, begin=self.done == 0):
                text = self._text(piece) if first else piece
                first = False
                yield self._guarded(reader.feed(text))
                await asyncio.sleep(0)  # what is packed may become a thousand pieces
            self.done += len(chunk)
        if self._unpacker is not None:
            self._ended(self._unpacker)
        yield self._guarded(reader.finish())

    async def _parquet_blocks(self) -> AsyncGenerator[Iterator[Record | BadLine]]:
        with await self._seekable() as file:
            rows = self._parquet(file)
            self.left_out = rows.table.left_out
            size = self.size or 0
            for part, block in rows.blocks():
                yield self._guarded(block)
                self.done = round(part * size)
                await asyncio.sleep(0)
            self.done = size

    async def _seekable(self) -> BinaryIO:
        """Return the file, or a copy of a pipe: Parquet is read from its end."""
        if self.size is not None:
            return os.fdopen(os.dup(self._descriptor), "rb")
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever asked for it
        while chunk := await self._next_chunk():
            copy.write(chunk)
        copy.seek(0)
        return copy

    def _parquet(self, file: BinaryIO) -> ParquetRows:
        try:
            return ParquetRows(file, self._shape.kind, self._shape.mapping, self._shape.taxonomy)
        except (HeaderError, InvalidInputError, ConfigError) as error:
            raise self._unreadable(error.args[0]) from None

    def _guarded(self, results: Iterator[Record | BadLine]) -> Iterator[Record | BadLine]:
        try:
            yield from results
        except HeaderError as error:
            raise self._unreadable(str(error)) from None
        except InvalidInputError as error:
            raise self._unreadable(error.args[0]) from None

    def _form_of(self, path: str, mode: int) -> Format:
        if path == "-":
            return "jsonl"
        if stat.S_ISDIR(mode):
            raise self._unreadable("is a directory; name the files in it")
        ending = _ending(path)
        if ending == ".txt" and self._shape.mapping is not None:
            return "csv"
        if ending not in _ENDINGS:
            endings = ", ".join(_ENDINGS)
            raise self._unreadable(f"ends in none of {endings}; say what it is with --format jsonl, csv or parquet")
        return _ENDINGS[ending]

    def _open(self, path: str) -> int:
        try:
            return os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise self._unreadable(_reason(error)) from None

    def _reader(self) -> _Reader:
        shape = self._shape
        try:
            if self._form == "csv":
                return CsvReader(shape.kind, mapping=shape.mapping, taxonomy=shape.taxonomy)
            return JsonLinesReader(shape.kind, mapping=shape.mapping, taxonomy=shape.taxonomy)
        except HeaderError as error:
            raise self._unreadable(str(error)) from None

    def _look(self) -> None:
        """Read the beginning of a regular file, so that a useless one is found before anything is sent."""
        start = os.lseek(self._descriptor, 0, os.SEEK_CUR)  # standard input may have been read before
        if self._form == "parquet":
            self._read()  # a directory says so here
            with os.fdopen(os.dup(self._descriptor), "rb") as file:
                self.left_out = self._parquet(file).table.left_out
        else:
            chunk = self._read()
            piece = next(self._unpacked(chunk, begin=True), b"")
            reader = self._reader()
            text = self._text(piece)
            if isinstance(reader, CsvReader):
                for _ in self._guarded(reader.feed(text)):
                    break
                if len(text) < _CHUNK // 2:
                    for _ in self._guarded(reader.finish()):
                        pass
                self.left_out = [] if reader.table is None else reader.table.left_out
            self._unpacker = None
        os.lseek(self._descriptor, start, os.SEEK_SET)

    def _unpacked(self, chunk: bytes, *, begin: bool) -> Iterator[bytes]:
        """Give what a piece of the file holds. What is packed says so in its first bytes, whatever its name."""
        try:
            if begin:
                packings: list[Packing] = [packing for magic, packing in _PACKED if chunk.startswith(magic)]
                self._unpacker = Unpacker(packings[0]) if packings else None
            if self._unpacker is None:
                yield chunk
            else:
                yield from self._unpacker.feed(chunk)
        except (UnpackingError, ConfigError) as error:
            raise self._unreadable(str(error)) from None

    def _ended(self, unpacker: Unpacker) -> None:
        try:
            unpacker.finish()
        except UnpackingError as error:
            raise self._unreadable(str(error)) from None

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
            await _readable(self._descriptor, self.on_pause)
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


def _ending(path: str) -> str:
    return PurePath(path.lower().removesuffix(".gz").removesuffix(".zst")).suffix


async def _nothing() -> None:
    """Do nothing at a pause."""


async def _readable(descriptor: int, on_pause: Callable[[], Awaitable[object]]) -> None:
    """Wait until a pipe or terminal has something. A thread that reads could not be called back by Ctrl-C."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(descriptor, _settle, ready)
    except (PermissionError, NotImplementedError):
        return  # a device that is always ready, or Windows: there the read itself waits
    try:
        await asyncio.wait({ready}, timeout=LINGER)
        if not ready.done():
            await on_pause()
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
