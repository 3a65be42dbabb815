"""Exports over real connections that are cut: at every byte, in every framing that says where an answer ends, or does
not.

Every 37th byte in the plain suite; `DFINERY_CUT_EVERY=1` for each one.
"""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dfinery_async import DfineryClient, RetryConfig
from dfinery_async.errors import ConnectionFailed, ExportError, ExportInterrupted
from dfinery_async.runtime import export_parts

EVERY = int(os.environ.get("DFINERY_CUT_EVERY", "37"))
HEADER = b"df_event_datetime,df_event_name,df_order_id,note\n"
ROW = b'2025-03-01 10:00:00.001,df_purchase,%08d,"a, ""b""\n\xea\xb0\x80"\n'
BODY = HEADER + b"".join(ROW % number for number in range(4096 // len(ROW % 1)))
ROWS = BODY.count(b"df_purchase")


def chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


PACKED = gzip.compress(BODY)
FRAMINGS = {
    "content-length": (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY), BODY),
    "chunked": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunked(BODY)),
    "closing": (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", BODY),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n", BODY),
    "gzip": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: gzip\r\n\r\n", PACKED),
}
PROVEN = {"content-length", "chunked", "gzip"}


@asynccontextmanager
async def serving(answers: list[bytes]) -> AsyncIterator[DfineryClient]:
    """A client of a server that gives one answer a connection, as it stands, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(answers[0])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        DfineryClient(
            "service", export_token="e", base_url=f"http://127.0.0.1:{port}", retry=RetryConfig(total=0.1)
        ) as client,
    ):
        yield client


@pytest.mark.asyncio
@pytest.mark.timeout(600)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_every_cut_is_seen(framing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_parts, "_MOST_ATTEMPTS", 1)
    head, body = FRAMINGS[framing]
    answers = [b""]
    seen = 0
    async with serving(answers) as client:
        for cut in range(0, len(body), EVERY):
            answers[0] = head + body[:cut]
            ending = ("csv", "jsonl", "csv.gz")[cut % 3]
            with pytest.raises((ExportInterrupted, ConnectionFailed)):
                await client.export_events("2025-03-01", "2025-03-01").save(tmp_path / f"a.{ending}")
            seen += 1
        assert names(tmp_path) == []
        answers[0] = head + body
        whole = client.export_events("2025-03-01", "2025-03-01")
        if framing in PROVEN:
            assert (await whole.save(tmp_path / "a.csv")).rows == ROWS
            assert (tmp_path / "a.csv").read_bytes() == BODY
        else:
            with pytest.raises(ExportInterrupted, match="nothing proves that it is whole"):
                await whole.save(tmp_path / "a.csv")
            assert names(tmp_path) == []
    assert seen == len(range(0, len(body), EVERY))


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.mark.asyncio
async def test_a_bomb_of_an_answer_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(HEADER + b"1,2,3,4\n" * 20_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-encoding: gzip\r\n\r\n" % len(bomb)
    async with serving([head + bomb]) as client:
        with pytest.raises(ExportError, match="as a bomb does"):
            await client.export_events("2025-03-01", "2025-03-01").save(tmp_path / "a.csv")
    assert names(tmp_path) == []
