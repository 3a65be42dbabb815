"""A load over a spool: how far each file was taken over stands on disk beside what was, so that a cut load goes on.

The place is kept in the same transaction as the units that it covers: a unit is on disk and will be sent, or its line
is read again, never both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dfinery_async.cli.exits import CliError
from dfinery_async.cli.output import warn
from dfinery_async.cli.reading import Reading
from dfinery_async.cli.rejects import RejectsFile
from dfinery_async.cli.source import Source
from dfinery_async.core.records import BadLine, Record
from dfinery_async.runtime.spooled_producer import SpooledProducer, Stream

__all__ = ["MarkedReading", "check_sources"]

_HEAD: Final = 64 * 1024  # bytes by which a file is known again; what is added behind them later changes nothing


def check_sources(sources: Sequence[Source]) -> None:
    """Refuse files whose reading can't be resumed.

    Raises:
        CliError: one is standard input or a pipe.
    """
    for source in sources:
        if source.size is None:
            raise CliError(f"{source.name}: --resume needs a file: where a pipe was cut can't be found again")


class MarkedReading(Reading):
    """Files whose good lines go to a producer with a spool, each with its place.

    Args:
        sources: the files.
        rejects: where bad lines go.
        resume: whether to begin where an earlier load of the same files into the same spool was cut.
    """

    def __init__(self, sources: Sequence[Source], rejects: RejectsFile | None = None, *, resume: bool) -> None:
        super().__init__(sources, rejects)
        self._resume = resume
        self._places = {id(source): _Place(source) for source in sources if source.size is not None}
        self._mark: tuple[str, str] | None = None

    async def feed(self, producer: SpooledProducer) -> None:
        """Hand over all that is to be read.

        Raises:
            CliError: a file can't be read any further, or is another one than the load that was cut has read.
            SpoolError: the spool takes no more.
        """
        self._find(await producer.marks())
        stream = Stream(producer)
        async for block in self.blocks():
            for record in block:
                if record.event is not None:
                    await stream.track(record.identity, record.event, self._mark)
                elif record.properties is not None:
                    await stream.set_profile(record.identity, record.properties, self._mark)
                else:
                    await stream.identify(record.identity, self._mark)
        await stream.kept()

    def _find(self, marks: Mapping[str, str]) -> None:
        for source in self.sources:
            place = self._places.get(id(source))
            if place is None or (mark := marks.get(place.name)) is None:
                continue
            if self._resume:
                place.resume(mark)
            elif lines := place.known(mark):
                warn(
                    f"{source.name}: an earlier load took over its first {lines:,} lines, which are sent again; "
                    "--resume goes on behind them"
                )

    def _good(self, source: Source, results: Iterator[Record | BadLine]) -> Iterator[Record]:
        place = self._places.get(id(source))
        if place is None:
            yield from super()._good(source, results)
            return
        for result in results:
            place.number += 1
            if place.number <= place.done:
                continue
            if isinstance(result, BadLine):
                self._bad_line(source, result)
            else:
                self._mark = place.name, place.mark()
                yield result


class _Place:
    """How far a file was read.

    Attributes:
        name: of its mark in the spool.
        number: lines read in this run, empty ones left out.
        done: lines that an earlier run took over.
    """

    def __init__(self, source: Source) -> None:
        self.name = f"load:{Path(source.path).resolve()}"
        self.number = 0
        self.done = 0
        self._source = source
        self._head = f"{min(source.size or 0, _HEAD)} {source.digest(_HEAD)}"

    def mark(self) -> str:
        return f"{self.number} {self._head}"

    def known(self, mark: str) -> int:
        """Return how many lines a mark covers; 0 where it is of another file."""
        number, size, digest = mark.split(" ")
        return int(number) if self._source.digest(int(size)) == digest else 0

    def resume(self, mark: str) -> None:
        """Begin behind what a mark covers."""
        self.done = self.known(mark)
        if not self.done:
            raise CliError(
                f"{self._source.name} is not the file that the load was cut in: its beginning has changed; "
                "without --resume it is loaded from there"
            )
