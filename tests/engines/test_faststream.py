"""The sink in FastStream applications: each broker's messages, what is acknowledged, and what is given back."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from importlib.util import find_spec

import pytest
from engine_servers import redis_server, serving
from redis_kit import SERVERS

from dfinery_async import Rejection
from dfinery_async.emulator import Emulator, Fault
from dfinery_async.errors import ClientClosed, DeliveryError

if find_spec("faststream") is None:
    pytest.skip("faststream is not installed", allow_module_level=True)

from aiokafka import ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, TestKafkaBroker
from faststream.message import AckStatus
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.rabbit import RabbitBroker, RabbitMessage, TestRabbitBroker
from faststream.redis import RedisBroker, RedisStreamMessage, StreamSub

from dfinery_async.integrations.faststream import DfinerySink, Outcome, _places

pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("default")]  # the brokers' packages warn of themselves
SECONDS = 30.0

needs_redis = pytest.mark.skipif(not SERVERS, reason="no Redis here: apt-get install redis-server")
needs_nats = pytest.mark.skipif(shutil.which("nats-server") is None, reason="nats-server is not installed")


def row(number=0, user="u1", **changes):
    made = {
        "identity": {"external_id": user},
        "event_name": "df_login",
        "event_datetime": "2025-03-02T04:11:09Z",
        "event_properties": {"number": number},
    }
    return {**made, **changes}


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


def sink_to(emulator, **options):
    return DfinerySink(
        service_id=emulator.service_id,
        import_token=emulator.import_token,
        base_url=emulator.base_url,
        **options,
    )


class Heard:
    """What a handler saw; `wait` returns when that is enough."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.statuses: list[AckStatus | None] = []
        self.errors: list[BaseException] = []
        self._changed = asyncio.Event()

    async def deliver(self, sink, message) -> None:
        try:
            self.outcomes.append(await sink.deliver(message))
        except Exception as error:  # noqa: BLE001 - kept for the test
            self.errors.append(error)
        self.statuses.append(message.committed)
        self._changed.set()

    @property
    def settled(self) -> int:
        return sum(outcome.delivered + outcome.rejected for outcome in self.outcomes)

    async def wait(self, settled: int = 0, errors: int = 0) -> None:
        async with asyncio.timeout(SECONDS):
            while self.settled < settled or len(self.errors) < errors:
                await self._changed.wait()
                self._changed.clear()


def numbers(emulator):
    return [event["event_properties"]["number"] for event in emulator.events]


def ids(emulator):
    return {event["event_log_id"] for event in emulator.events}


@pytest.fixture
def redis():
    with redis_server() as url:
        yield url


@needs_redis
class TestRedis:
    def _broker(self, url, sink, heard, **stream):
        broker = RedisBroker(url, logger=None)
        places = StreamSub("events", group="g", consumer="c", batch=True, **(stream or {"polling_interval": 20}))

        @broker.subscriber(stream=places, ack_policy=AckPolicy.MANUAL)
        async def handle(message: RedisStreamMessage) -> None:
            await heard.deliver(sink, message)

        return broker

    async def _pending(self, url) -> int:
        from redis.asyncio import Redis  # noqa: PLC0415 - comes with FastStream's extra

        async with Redis.from_url(url) as client:
            (group,) = await client.xinfo_groups("events")
            return int(group["pending"])

    async def test_a_batch_is_acknowledged_when_it_is_delivered(self, redis, emulator):
        heard = Heard()
        async with sink_to(emulator) as sink, self._broker(redis, sink, heard, last_id="0") as broker:
            for number in range(250):
                await broker.publish(row(number), stream="events")
            await broker.start()
            await heard.wait(250)

        assert numbers(emulator) == list(range(250))
        assert set(heard.statuses) == {AckStatus.ACKED}
        assert await self._pending(redis) == 0

    async def test_what_could_not_be_delivered_comes_again_under_the_same_ids(self, redis, emulator):
        first, second = Heard(), Heard()
        silence = emulator.inject(Fault("status", status=503, processed=True))  # applied, but nobody is told
        async with sink_to(emulator) as sink, self._broker(redis, sink, first, last_id="0") as broker:
            for number in range(20):
                await broker.publish(row(number), stream="events")
            await broker.start()
            async with asyncio.timeout(SECONDS):
                while not silence.hits:  # noqa: ASYNC110 - another thread counts them
                    await asyncio.sleep(0)
            await sink.aclose(0)
            await first.wait(errors=1)

        assert isinstance(first.errors[0], DeliveryError)
        assert first.statuses == [AckStatus.NACKED]
        assert await self._pending(redis) == 20
        silence.remove()
        async with sink_to(emulator) as sink, self._broker(redis, sink, second, min_idle_time=0) as broker:
            await broker.start()
            await second.wait(20)

        assert len(emulator.events) > 20
        assert len(ids(emulator)) == 20
        assert await self._pending(redis) == 0

    async def test_bad_rows_and_refused_events_are_told_of_and_acknowledged(self, redis, emulator):
        emulator.inject(Fault("poison", match="bad"))
        heard = Heard()
        bad: list[str] = []
        refused: list[Rejection] = []
        options = {"on_bad": lambda row, why: bad.append(why), "producer": {"on_rejected": refused.append}}
        async with sink_to(emulator, **options) as sink, self._broker(redis, sink, heard, last_id="0") as broker:
            for each in (row(0), row(event_name=7), row(event_properties={"kind": "bad"}), "no row", row(4)):
                await broker.publish(each, stream="events")
            await broker.start()
            await heard.wait(5)

        assert numbers(emulator) == [0, 4]
        assert sum(outcome.rejected for outcome in heard.outcomes) == 3
        assert bad == ["event_name: must be text, not a number", "a row must be a dict, not str"]
        assert len(refused) == 1
        assert await self._pending(redis) == 0

    async def test_a_message_may_hold_several_rows(self, redis, emulator):
        heard = Heard()
        broker = RedisBroker(redis, logger=None)
        async with sink_to(emulator) as sink, broker:

            @broker.subscriber(
                stream=StreamSub("events", group="g", consumer="c", last_id="0"),
                ack_policy=AckPolicy.MANUAL,
            )
            async def handle(message: RedisStreamMessage) -> None:
                await heard.deliver(sink, message)

            await broker.publish([row(number) for number in range(30)], stream="events")
            await broker.start()
            await heard.wait(30)

        assert numbers(emulator) == list(range(30))
        assert len(ids(emulator)) == 30


def nats_broker(port, sink, heard, consumer):
    broker = NatsBroker(f"nats://127.0.0.1:{port}", logger=None)

    @broker.subscriber(
        "events",
        stream=JStream("events"),
        pull_sub=PullSub(batch_size=100, timeout=0.2, batch=True),
        durable=consumer,
        ack_policy=AckPolicy.MANUAL,
    )
    async def handle(message: NatsMessage) -> None:
        await heard.deliver(sink, message)

    return broker


@needs_nats
async def test_nats_jetstream_from_the_first_message_twice(emulator):
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(["nats-server", "-a", "127.0.0.1", "-p", "{port}", "-js", "-sd", folder]) as port,
    ):
        for consumer in ("one", "two"):
            heard = Heard()
            async with sink_to(emulator) as sink, nats_broker(port, sink, heard, consumer) as broker:
                await broker.start()
                for number in range(50 if consumer == "one" else 0):
                    await broker.publish(row(number), "events", stream="events")
                await heard.wait(50)
            assert set(heard.statuses) == {AckStatus.ACKED}

    assert numbers(emulator) == [*range(50), *range(50)]
    assert len(ids(emulator)) == 50


async def test_kafka_batches_are_acknowledged(emulator):
    broker, heard = KafkaBroker(logger=None), Heard()
    async with sink_to(emulator) as sink:

        @broker.subscriber("events", batch=True, ack_policy=AckPolicy.MANUAL, group_id="g")
        async def handle(message: KafkaMessage) -> None:
            await heard.deliver(sink, message)

        async with TestKafkaBroker(broker) as tester:
            await tester.publish_batch(*(row(number) for number in range(5)), topic="events")
            await heard.wait(5)

    assert numbers(emulator) == list(range(5))


async def test_kafka_records_have_a_place_each():
    def record(partition, offset):
        return ConsumerRecord("events", partition, offset, 0, 0, None, b"{}", None, 0, 2, ())

    class Message:
        raw_message = (record(0, 7), record(0, 8), record(1, 7))

    assert _places(Message, 3) == [("kafka", "events", 0, 7), ("kafka", "events", 0, 8), ("kafka", "events", 1, 7)]


async def test_rabbit_messages_come_one_by_one(emulator):
    broker, heard = RabbitBroker(logger=None), Heard()
    async with sink_to(emulator) as sink:

        @broker.subscriber("events", ack_policy=AckPolicy.MANUAL)
        async def handle(message: RabbitMessage) -> None:
            await heard.deliver(sink, message)

        async with TestRabbitBroker(broker) as tester:
            for _ in range(2):
                await tester.publish(row(), queue="events", message_id="m1")
            await heard.wait(2)

    assert len(emulator.events) == 2
    assert len(ids(emulator)) == 1


async def test_a_sink_that_is_not_open_says_so(emulator):
    with pytest.raises(ClientClosed, match=r"lifespan=sink.lifespan"):
        await sink_to(emulator).deliver(object())


async def test_only_messages_of_faststream_are_taken(emulator):
    sink = sink_to(emulator)
    async with sink.lifespan():
        with pytest.raises(TypeError, match="not dict"):
            await sink.deliver(row())
