"""What `load` and `plan` share: files that are named, read in turn, and their bad lines told of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import PurePath
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

from dfinery_async.cli.exits import CliError
from dfinery_async.cli.output import warn
from dfinery_async.cli.rejects import RejectsFile
from dfinery_async.cli.source import Format, Shape, Source
from dfinery_async.cli.texts import plain
from dfinery_async.core.records import BadLine, Record
from dfinery_async.redact import safe_text

__all__ = ["Files", "FormatOption", "Reading", "opened"]

_SHOWN: Final = 10  # bad lines that are named on standard error

Files: TypeAlias = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        help="Files to read: .jsonl or .csv, perhaps with .gz or .zst, or .parquet; - is standard input.",
    ),
]
FormatOption: TypeAlias = Annotated[
    Format | None, Parameter(help="How lines are written. By default as the file's ending says; - is jsonl.")
]


@contextmanager
def opened(names: Sequence[str], shape: Shape) -> Generator[list[Source]]:
    """Open files, all of them before any is read.

    Raises:
        CliError: there is none, or one that can't be read.
    """
    for name in names:
        if name.startswith("-") and name != "-":  # the parser lets these through, because of the lone hyphen
            raise CliError(
                f"unknown option {plain(name.partition('=')[0])} (a file of this name is written ./{name[:1]}…)"
            )
    if not names:
        raise CliError("no file is named; - is standard input")
    if names.count("-") > 1:
        raise CliError("standard input can be read only once")
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Source(name, shape))) for name in names]


class Reading:
    """Files one after the other. Bad lines are counted, the first of them named, all set aside.

    Args:
        sources: the files.
        rejects: where bad lines go.

    Attributes:
        sources: the files.
        unreadable: bad lines so far.
        state: what is done before anything is handed over, in a few words.
    """

    def __init__(self, sources: Sequence[Source], rejects: RejectsFile | None = None) -> None:
        self.sources: Sequence[Source] = sources
        self.unreadable: int = 0
        self.state: str = ""
        self._rejects = rejects

    @property
    def title(self) -> str:
        """What a person calls these files."""
        return PurePath(self.sources[0].name).name if len(self.sources) == 1 else f"{len(self.sources)} files"

    @property
    def ends(self) -> bool:
        """Whether all of it is there: files end, a pipe may go on for ever."""
        return all(source.size is not None for source in self.sources)

    @property
    def fraction(self) -> float | None:
        """How much is read, from 0 to 1; `None` where a size is not known."""
        sizes = [source.size for source in self.sources]
        if None in sizes:
            return None
        return min(1.0, sum(source.done for source in self.sources) / max(1, sum(size or 0 for size in sizes)))

    async def blocks(self) -> AsyncIterator[Iterator[Record]]:
        """Read all files, a piece at a time.

        Raises:
            CliError: one can't be read any further, or the rejects can't be written.
        """
        for source in self.sources:
            if source.left_out:
                shown = ", ".join(map(safe_text, source.left_out[:_SHOWN]))
                more = f" and {len(source.left_out) - _SHOWN} more" if len(source.left_out) > _SHOWN else ""
                warn(f"{source.name}: columns left out: {shown}{more}")
            async for block in source.blocks():
                yield self._good(source, block)

    def sum_up(self) -> None:
        """Say how many bad lines were not named."""
        if self.unreadable > _SHOWN:
            warn(f"{self.unreadable - _SHOWN:,} more bad lines")

    def _good(self, source: Source, results: Iterator[Record | BadLine]) -> Iterator[Record]:
        for result in results:
            if isinstance(result, BadLine):
                self._bad_line(source, result)
            else:
                yield result

    def _bad_line(self, source: Source, bad: BadLine) -> None:
        self.unreadable += 1
        if self.unreadable <= _SHOWN:
            warn(f"{source.name}:{bad.line}: {bad}")
        if self._rejects is not None:
            self._rejects.add_line(source.name, bad)
