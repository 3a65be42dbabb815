"""What a load of files and a partition share: records handed to a producer, and seeing that there is no more use."""

from __future__ import annotations

from typing import Final

from dfinery_async.core.records import Record
from dfinery_async.errors import ConnectionFailed, DfineryError
from dfinery_async.models import Stats
from dfinery_async.runtime.producer import Producer

__all__ = ["LAST_WORDS", "LINGER", "UNTIL_THE_END", "hand_over", "lost_cause"]

LINGER: Final = 0.05
"""Seconds: a file or partition has the next event of the same user soon, and fuller requests save quota."""

UNTIL_THE_END: Final = 24 * 3600.0
"""Seconds that amount to waiting until a file or frame has ended, or there is no more room: its requests are full."""

LAST_WORDS: Final = 1.0
"""Seconds for requests in the air when a load gives up."""

_ENDS: Final = {"unauthorized", "misconfigured", "failed"}


async def hand_over(producer: Producer, record: Record) -> None:
    """Hand a record over; waits for room."""
    if record.event is not None:
        await producer.track(record.identity, record.event)
    elif record.properties is not None:
        await producer.set_profile(record.identity, record.properties)
    else:
        await producer.identify(record.identity)


def lost_cause(producer: Producer, stats: Stats, give_up_after: float) -> DfineryError | None:
    """Return why there is no use in going on, or `None`.

    Args:
        producer: who sends.
        stats: its books of now.
        give_up_after: seconds without any answer until the API counts as unreachable.
    """
    if stats.state in _ENDS:
        return producer.trouble
    if stats.silent_for >= give_up_after:
        why = producer.trouble or "requests were sent, and nothing has come back"
        error = ConnectionFailed(f"no answer from the API within {give_up_after:g} s: {why}")
        error.__cause__ = producer.trouble
        return error
    return None
