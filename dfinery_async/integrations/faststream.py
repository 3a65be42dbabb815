"""FastStream: messages of Kafka, Redis, NATS or RabbitMQ become events, and are acknowledged once they are delivered.

sink = DfinerySink()
app = FastStream(broker, lifespan=sink.lifespan)

@broker.subscriber("events", batch=True, ack_policy=AckPolicy.MANUAL)
async def events(message: KafkaMessage) -> None:
await sink.deliver(message)
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

import msgspec

from dfinery_async.client import DfineryClient
from dfinery_async.core.line_shapes import row_record
from dfinery_async.core.records import EqualRows, LineError, Record, derive_log_id
from dfinery_async.errors import (
    ApiError,
    ClientClosed,
    DeliveryError,
    InvalidServiceId,
    InvalidToken,
    UnexpectedResponse,
)
from dfinery_async.runtime.producer import Producer
from dfinery_async.runtime.receipts import Receipt

if TYPE_CHECKING:  # the package is not there when types are checked
    StreamMessage: Any
else:
    try:
        from faststream.message import StreamMessage
    except ImportError as error:
        raise ImportError(
            "dfinery_async.integrations.faststream needs FastStream: pip install 'dfinery-async[faststream]'"
        ) from error

__all__ = ["DfinerySink", "Outcome"]

Place: TypeAlias = tuple[Any, ...] | None

_log = logging.getLogger("dfinery_async.faststream")
_LOGGED: Final = 3  # kinds of bad messages that one line names


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one message's events.

    Attributes:
        delivered: events that the API confirmed.
        rejected: events that can't be delivered, however often they are sent: bad ones, and those the API refused.
        problems: what was wrong with the bad ones, without values.
    """

    delivered: int = 0
    rejected: int = 0
    problems: tuple[str, ...] = ()


class DfinerySink:
    """A client and its producer for the time that an application runs.

    Args:
        producer: arguments of `client.producer()`, such as `on_rejected`, which is told of what the API refused.
        on_bad: called with each row that is no event, and why; a place for a dead-letter topic.
        **settings: arguments of `DfineryClient`; what is absent comes from the environment.
    """

    def __init__(
        self,
        *,
        producer: Mapping[str, Any] | None = None,
        on_bad: Callable[[Any, str], object] | None = None,
        **settings: Any,
    ) -> None:
        self._settings = settings
        self._options = dict(producer or {})
        self._on_bad = on_bad
        self._client: DfineryClient | None = None
        self._producer: Producer | None = None

    @asynccontextmanager
    async def lifespan(self, *_: object) -> AsyncGenerator[None]:
        """Open and close with an application: `FastStream(broker, lifespan=sink.lifespan)`."""
        async with self:
            yield

    async def __aenter__(self) -> Self:
        self._client = DfineryClient.from_env(**self._settings)
        self._producer = self._client.producer(**self._options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, timeout: float | None = 30.0) -> None:
        """Take nothing more, and deliver what is under way.

        Args:
            timeout: seconds for it; messages whose events are left then are given back.
        """
        if self._producer is not None and self._client is not None:
            await self._producer.aclose(timeout)
            await self._client.aclose()

    async def deliver(self, message: Any, rows: Iterable[Mapping[str, Any]] | None = None) -> Outcome:
        """Deliver a message, or a batch of them, and acknowledge it when each of its events is settled.

        Events that can't be delivered at all are counted, told of, and acknowledged with the others. When something
        hinders delivery, such as a refused token or the end of the application, the message is given back.

        An event without an id gets one that is derived from the place of its message (topic, partition and offset, or
        the id in the stream), so that a message that comes again makes no new event.

        Args:
            message: FastStream's message.
            rows: its events, in the form of an events file's lines, where the message's body is something else.

        Raises:
            DeliveryError: the events could not be delivered now; the message was given back.
        """
        if self._producer is None:
            raise ClientClosed("the sink is not open: use lifespan=sink.lifespan, or `async with sink`")
        if not isinstance(message, StreamMessage):
            raise TypeError(f"deliver() takes FastStream's message, not {type(message).__name__}")
        body: Any = list(rows) if rows is not None else await message.decode()
        several = cast("Sequence[Any]", body) if isinstance(body, list | tuple) else (body,)
        try:
            outcome = await self._settle(several, _places(message, len(several)))
        except BaseException:
            await message.nack()
            raise
        await message.ack()
        return outcome

    async def _settle(self, rows: Sequence[Any], places: list[Place]) -> Outcome:
        producer = cast("Producer", self._producer)
        receipts: list[Receipt] = []
        problems: list[str] = []
        equals = EqualRows()
        for row, place in zip(rows, places, strict=True):
            try:
                record = _record(row, place, equals)
            except LineError as error:
                problems.append(str(error))
                if self._on_bad is not None:
                    self._on_bad(row, str(error))
                continue
            receipts.append(await producer.track(record.identity, cast("Any", record.event)))
        await producer.flush(timeout=0)  # no more comes before these are delivered: let nothing wait for more
        refused = 0
        for receipt in receipts:
            try:
                await receipt
            except DeliveryError as error:
                if not _is_final(error.__cause__):
                    raise
                refused += 1
        if problems:
            _log.warning("%d bad rows: %s", len(problems), "; ".join(list(dict.fromkeys(problems))[:_LOGGED]))
        return Outcome(delivered=len(receipts) - refused, rejected=refused + len(problems), problems=tuple(problems))


def _record(row: Any, place: Place, equals: EqualRows) -> Record:
    line = cast("Mapping[str, Any]", row)
    if place is not None and isinstance(row, Mapping) and line.get("event_log_id") is None:
        return row_record({**line, "event_log_id": derive_log_id(*place)}, "events", 1)
    return row_record(line, "events", equals)


def _is_final(cause: BaseException | None) -> bool:
    """Whether the API refused the event itself; anything else may be mended, or pass."""
    mendable = isinstance(cause, InvalidToken | InvalidServiceId)
    return isinstance(cause, ApiError | UnexpectedResponse) and not cause.retryable and not mendable


def _places(message: Any, count: int) -> list[Place]:
    """Where each row stands in the broker, the same when it comes again; `None` where the broker does not tell."""
    raw: Any = message.raw_message
    found: list[Place]
    if isinstance(raw, dict):  # Redis: only streams have ids
        redis = cast("dict[str, Any]", raw)
        found = [("redis", redis["channel"], each.decode()) for each in redis.get("message_ids") or ()]
    else:
        several = cast("Iterable[Any]", raw) if isinstance(raw, tuple | list) else (raw,)
        found = [_place(each) for each in several]
    if len(found) == count:
        return found
    whole = found[0] if len(found) == 1 else None  # one message of several rows
    return [None if whole is None else (*whole, number) for number in range(count)]


def _place(raw: Any) -> Place:
    """Return the place of one message of Kafka, NATS JetStream or RabbitMQ."""
    if (offset := _told(raw, "offset")) is not None:
        return "kafka", _told(raw, "topic"), _told(raw, "partition"), offset
    if (message_id := _told(raw, "message_id")) is not None:
        return "rabbit", message_id
    try:
        metadata = raw.metadata  # NATS: an error where the message is none of a stream
    except Exception:  # noqa: BLE001 - of a package that is not imported here
        return None
    return None if metadata is None else ("nats", metadata.stream, metadata.sequence.stream)


def _told(raw: Any, name: str) -> Any:
    """An attribute of a Kafka record: a value in one package, a method in the other."""
    value = getattr(raw, name, None)
    return value() if callable(value) else value
