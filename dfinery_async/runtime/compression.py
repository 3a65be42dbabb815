"""Files that are compressed with gzip or zstd, written in pieces and read within bounds."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Literal, Protocol, TypeAlias

from dfinery_async.core.reply import Headers
from dfinery_async.errors import DfineryError
from dfinery_async.runtime.zstd import zstd

__all__ = ["MAX_RATIO", "Compressor", "Packing", "Unpacker", "UnpackingError", "compressor", "packing_of", "unpacked"]

Packing: TypeAlias = Literal["gz", "zst"]

MAX_RATIO = 250
"""Bytes that one compressed byte may become: texts of events become 30 at the most, a bomb a thousand and more."""

_GZIP = 31  # zlib's name for it
_GZIP_LEVEL = 6
_PIECE = 64 * 1024
_NO_BOMB = 64 * 1024 * 1024  # bytes that any file may become
_WINDOW_LOG = 25  # 32 MiB of memory; what zstd makes of up to level 20 needs no more


class Compressor(Protocol):
    """Takes bytes, gives compressed ones."""

    def compress(self, data: bytes, /) -> bytes:
        """Take more."""
        ...

    def flush(self) -> bytes:
        """End; what it gave is a member of its own, and members may follow each other in a file."""
        ...


class UnpackingError(DfineryError):
    """What is read is not compressed as it should be, or is a bomb. It may be tried again where it is merely cut."""


def compressor(packing: Packing) -> Compressor:
    """Return a compressor for one member of a file.

    Raises:
        ConfigError: the package for it is not installed.
    """
    if packing == "gz":
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    module = zstd()
    made: Compressor = module.ZstdCompressor(options={module.CompressionParameter.checksum_flag: 1})
    return made


def packing_of(headers: Headers) -> Packing | None:
    """Return how an answer is packed. We ask for none, and what stands in between may pack it all the same."""
    value = next((value.strip().lower() for name, value in headers if name == "content-encoding"), "")
    return _ENCODINGS.get(value)


def unpacked(headers: Headers, body: bytes, largest: int) -> bytes:
    """Return what a short answer holds, also where it is packed; nothing where that can't be read or is too long."""
    packing = packing_of(headers)
    if packing is None:
        return body
    whole = b""
    try:
        unpacker = Unpacker(packing)
        for piece in unpacker.feed(body):
            whole += piece
            if len(whole) > largest:
                return b""
        unpacker.finish()
    except DfineryError:  # broken, or the package for it is not installed
        return b""
    return whole


class Unpacker:
    """Takes compressed bytes, gives what they hold in small pieces, whatever they claim to hold.

    Args:
        packing: how they are compressed.

    Raises:
        ConfigError: the package for it is not installed.
    """

    def __init__(self, packing: Packing) -> None:
        self._packing: Packing = packing
        self._errors: tuple[type[Exception], ...] = (zlib.error,) if packing == "gz" else (zstd().ZstdError,)
        self._member: Any = None
        self._taken = self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what the next bytes of the file hold.

        Raises:
            UnpackingError: they are not compressed in this way, or hold too much.
        """
        self._taken += len(data)
        while data or self._waiting():
            if self._member is None:
                if self._packing == "gz" and self._taken > len(data) and not data.strip(b"\0"):
                    return  # zeros up to the end of a block, as tapes have them
                self._member = self._new()
            piece, data = self._some(data)
            if piece:
                self._given += len(piece)
                if self._given > max(_NO_BOMB, MAX_RATIO * self._taken):
                    raise UnpackingError(
                        f"holds more than {MAX_RATIO} times its size, as a bomb does; if it is none, unpack it yourself"
                    )
                yield piece

    def finish(self) -> None:
        """Check that the file has ended where a member did.

        Raises:
            UnpackingError: it is cut.
        """
        if self._member is not None:
            error = UnpackingError("is cut: its compressed part has no end")
            error.retryable = True
            raise error

    def _new(self) -> Any:
        if self._packing == "gz":
            return zlib.decompressobj(_GZIP)
        module = zstd()
        return module.ZstdDecompressor(options={module.DecompressionParameter.window_log_max: _WINDOW_LOG})

    def _waiting(self) -> bool:
        """Whether the member has more to give without being given more."""
        if self._member is None:
            return False
        return not self._member.needs_input if self._packing == "zst" else False

    def _some(self, data: bytes) -> tuple[bytes, bytes]:
        member = self._member
        try:
            piece = member.decompress(data, _PIECE)
        except self._errors as error:
            # zstd names a window that is too large; the rest says no more than that it is broken.
            if "window" in str(error).lower() or "memory" in str(error).lower():
                raise UnpackingError(
                    "needs more than 32 MiB to be unpacked; compress it without --ultra and --long"
                ) from None
            raise UnpackingError(f"is broken, or not compressed with {_NAMES[self._packing]}") from None
        if member.eof:
            self._member = None
            return piece, member.unused_data
        return piece, member.unconsumed_tail if self._packing == "gz" else b""


_ENCODINGS: dict[str, Packing] = {"gzip": "gz", "x-gzip": "gz", "zstd": "zst"}
_NAMES: dict[Packing, str] = {"gz": "gzip", "zst": "zstd"}
