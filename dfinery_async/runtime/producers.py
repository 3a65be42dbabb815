"""All producers that a client has had: how one is made, and their books as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import msgspec

from dfinery_async.config import DeliveryConfig, SpoolConfig
from dfinery_async.core.books import total
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.models import Stats
from dfinery_async.runtime.checked_producer import CheckedProducer, TaxonomyCheck
from dfinery_async.runtime.producer import Producer
from dfinery_async.runtime.taxonomy import taxonomy_of

__all__ = ["Producers", "bounded", "kind_of"]


class Producers:
    """Those that are open, and what the books of the others came to."""

    def __init__(self) -> None:
        self._open: list[Producer] = []
        self._past = Stats(state="closed")

    def __iter__(self) -> Iterator[Producer]:
        """Give those that are open, and some that were not long ago."""
        return iter(list(self._open))

    def add(self, producer: Producer) -> None:
        """Take in a new one. Those that have ended meanwhile are remembered by their books alone."""
        self._past = total([self._past, *(_books(each) for each in self._open if each.closed)])
        self._open = [each for each in self._open if not each.closed]
        self._open.append(producer)

    def stats(self) -> Stats:
        """Add up the books of all."""
        return total([self._past, *map(_books, self._open)])


def _books(producer: Producer) -> Stats:
    """Return the books of one; what has ended has no room any more."""
    stats = producer.stats()
    return msgspec.structs.replace(stats, capacity=0) if producer.closed else stats


def bounded(config: DeliveryConfig, connections: int) -> DeliveryConfig:
    """Allow no more requests in the air than there are connections."""
    return msgspec.structs.replace(config, max_in_flight=min(config.max_in_flight, connections))


def kind_of(
    spool: SpoolConfig | None, taxonomy: Taxonomy | None, validate: Literal["off", "warn", "raise"]
) -> Callable[..., Producer]:
    """Return what makes a producer with or without a spool, with or without a look into a taxonomy."""
    plain: Callable[..., Producer] = Producer
    checked: Callable[..., Producer] = CheckedProducer
    if spool is not None:
        # SQLite costs time at import, and not every Python has it.
        from dfinery_async.runtime.spooled_producer import CheckedSpooledProducer, SpooledProducer  # noqa: PLC0415

        plain, checked = partial(SpooledProducer, spool=spool), partial(CheckedSpooledProducer, spool=spool)
    if validate == "off" and taxonomy is None:
        return plain
    taxonomy = taxonomy_of(taxonomy)  # one that is none is told also where nothing is looked up in it
    return plain if validate == "off" else partial(checked, check=TaxonomyCheck(taxonomy, validate))
