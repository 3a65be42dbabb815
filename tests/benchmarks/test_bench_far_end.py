from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from kit.harness import fault_of
from kit.loads import LOADS, minimum_requests
from kit.sink import Counts, Door, Replies

pytestmark = pytest.mark.asyncio

EVENT = b'{"event_name":"df_purchase","event_properties":{"quantity":2}}'


class Wire(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True


def request(body, path=b"/api/v1/events?service_id=s", headers=b""):
    return b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), headers, body)


def opened(**options):
    counts, wire = Counts(), Wire()
    door = Door(counts, Replies(), 0.0, silent=options.get("silent", False))
    door.connection_made(wire)
    return counts, wire, door


async def test_every_event_counts_once_however_the_bytes_are_cut():
    data = request(b"[" + b",".join([EVENT] * 3) + b"]") + request(EVENT)
    for cut in range(len(data)):
        counts, wire, door = opened()
        door.data_received(data[:cut])
        door.data_received(data[cut:])

        assert (counts.requests, counts.events) == (2, 4)
        assert wire.written.count(b"HTTP/1.1 200 OK") == 2


async def test_what_is_no_event_does_not_count():
    counts, _, door = opened()

    door.data_received(request(EVENT.replace(b"df_purchase", b"df_login")) + request(b""))

    assert (counts.requests, counts.events) == (2, 0)


@pytest.mark.parametrize(("body", "events"), [(gzip.compress(EVENT * 5), 5), (EVENT, 0)], ids=["gzip", "none"])
async def test_a_body_with_gzip_is_opened_and_one_that_is_none_counts_for_nothing(body, events):
    counts, _, door = opened()

    door.data_received(request(body, b"/v1/batch", b"Content-Encoding: gzip\r\n"))

    assert counts.events == events


async def test_a_body_without_length_is_refused():
    counts, wire, door = opened()

    door.data_received(b"POST /api/v1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")

    assert wire.written.startswith(b"HTTP/1.1 411 ")
    assert counts.requests == 0


async def test_a_silent_door_counts_and_says_nothing():
    counts, wire, door = opened(silent=True)

    door.data_received(request(EVENT))

    assert (counts.events, wire.written) == (1, b"")


async def test_connections_are_kept_unless_the_client_wants_otherwise():
    _, wire, door = opened()

    door.data_received(request(EVENT))
    assert not wire.closed

    door.data_received(request(EVENT, b"/amplitude", b"Connection: close\r\n"))
    assert wire.closed


async def test_the_desk_tells_and_resets():
    counts, wire, door = opened()
    door.data_received(request(EVENT))
    wire.written = b""

    door.data_received(b"GET /stats HTTP/1.1\r\n\r\n")
    told = json.loads(wire.written.partition(b"\r\n\r\n")[2])
    door.data_received(b"GET /reset HTTP/1.1\r\n\r\n")

    assert told.pop("cpu") >= 0
    assert told == {"requests": 1, "events": 1, "bytes": len(EVENT), "connections": 0}
    assert (counts.requests, counts.events, counts.bytes, counts.connections) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("sample", "fault"),
    [
        ({"events": 10, "seen": {"events": 10}}, None),
        ({"events": 10, "seen": {"events": 9}}, "1 events did not arrive"),
        ({"events": 10, "seen": {"events": 12}}, "2 events arrived twice"),
        ({"failed": "x is not installed"}, "x is not installed"),
    ],
)
async def test_a_delivery_counts_only_when_all_arrived_once(sample, fault):
    assert fault_of(sample) == fault


@pytest.mark.parametrize("name", LOADS)
async def test_a_load_has_as_many_events_as_asked_for_each_with_the_mark_once(name):
    rows = LOADS[name].make(500)

    assert len(rows) == 500
    assert all(json.dumps(row).count("df_purchase") == 1 for row in rows)


async def test_the_fewest_requests_are_counted_user_by_user():
    assert minimum_requests([("u1", "n", {})] * 101 + [("u2", "n", {})]) == 3
