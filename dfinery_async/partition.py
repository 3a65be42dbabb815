"""`send_partition`: what an engine that runs plain functions calls for one partition of its rows.

The rows are read in the caller's thread, since an iterator of an engine, a database or a file may belong to it. All
else runs in an event loop of its own, in a second thread that ends with the call. So it does not matter whether the
caller has a running loop (a notebook) or was forked (a worker).
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from itertools import islice
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

import msgspec

from dfinery_async.client import DfineryClient
from dfinery_async.core.codec import encode_identity
from dfinery_async.core.columnar import line_of
from dfinery_async.core.line_shapes import row_record
from dfinery_async.core.records import EqualRows, Kind, LineError, Place, Record
from dfinery_async.errors import ConfigError, DeliveryError, DfineryError
from dfinery_async.models import PartitionReport, Rejection, Report
from dfinery_async.runtime.feeding import LAST_WORDS, LINGER, hand_over, lost_cause
from dfinery_async.runtime.portal import Portal, open_portal

__all__ = ["Ids", "RaiseOn", "send_partition"]

Ids: TypeAlias = Literal["row", "content"]
"""What tells equal rows apart when ids are derived: their number, or how many equal ones came before."""

RaiseOn: TypeAlias = Literal["nothing", "failure", "rejection"]
"""What is raised rather than reported: nothing, what another run may mend, or a row that can't be delivered, too."""

_CHUNK: Final = 500  # rows that change threads at once: enough that the change costs nothing
_LOOK: Final = 0.1  # seconds between two looks at the producer
_SHOWN: Final = 10  # problems that a report names


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that are not the client's."""

    producer: Mapping[str, Any] = {}
    kind: Kind = "events"
    ids: Ids = "row"
    table: bool = False
    sort: bool = False
    give_up_after: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    raise_on: RaiseOn = "nothing"


def send_partition(rows: Iterable[Mapping[str, Any]], *, settings: Mapping[str, Any]) -> PartitionReport:
    """Send one partition of events, profiles or identities, and return when each row is settled.

    Events of one user leave in the order of the rows. Across partitions no order holds: bring a user's rows into one
    partition first (docs/engines.md says how, per engine).

    An event without an id gets one that is derived from what the row says and from its place among its equals, so that
    a task that is run again makes no new events.

    Args:
        rows: dicts in the form of an events file's lines; an identity may also be a plain `external_id`, and
            `event_datetime` an aware datetime. They are pulled only as fast as they are sent.
        settings: arguments of `DfineryClient`; what is absent comes from the environment (`DFINERY_IMPORT_TOKEN` and
            its fellows). And, all optional:

            - `"producer"`: arguments of `client.producer()`. `linger` is 0.05 s here.
            - `"kind"`: `"events"`, `"profiles"` or `"identities"`.
            - `"ids"`: `"row"` derives an id from the row's number, as `dfinery load` does: the same rows in the same
              order give the same ids. `"content"` derives it from how many equal rows came before: any order does,
              and any partitioning that keeps a user's rows together. It holds about 80 bytes a row.
            - `"table"`: the rows are those of a table: `null` means absent, and columns may have dotted names as in a
              CSV file (`identity.external_id`), or hold texts of JSON.
            - `"sort"`: send the events by user and time. The partition is then held in memory.
            - `"give_up_after"`: seconds without any answer from the API after which the partition ends, 120 by default.
            - `"raise_on"`: `"failure"` raises `DeliveryError` when the partition ended early, so that an engine runs it
              again; `"rejection"` also when a row was bad or refused, after all the others were sent. `"nothing"`,
              the default, only reports.

    Returns:
        The books of this partition. A bad row, or one that the API refused, takes no other with it.

    Raises:
        ConfigError: a setting can't work.
        DeliveryError: a row was not delivered, and `"raise_on"` asked for it.
        Exception: whatever the rows' iterator raised, after what it gave before was sent.
    """
    client, job = _read_settings(settings)
    reading = _Reading(rows, job)
    with open_portal() as portal:
        sending = portal.call(_Sending.open, client, job)
        try:
            failure = _feed(portal, sending, reading)
            report = portal.call(sending.end, LAST_WORDS if failure else None)
        finally:
            portal.call(sending.aclose)
    result = reading.add_to(report, sending.refusals, failure)
    if reading.broke_off is not None:
        taken = f"dfinery: {result.accepted:,} rows were taken before, {result.delivered:,} of them were delivered"
        reading.broke_off.add_note(taken)
        raise reading.broke_off
    failed = failure is not None or result.dropped > 0
    if (failed and job.raise_on != "nothing") or (not result.complete and job.raise_on == "rejection"):
        raise _failed(result) from failure
    return result


class _Reading:
    """Rows become records; bad ones are counted and passed over.

    Attributes:
        broke_off: what the rows' iterator raised, if it did.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], job: _Job) -> None:
        self.broke_off: Exception | None = None
        self._rows = rows
        self._kind: Kind = job.kind
        self._table, self._sort = job.table, job.sort
        self._place = EqualRows() if job.ids == "content" else None
        self._unreadable = 0
        self._problems: list[str] = []

    def chunks(self) -> Iterator[list[Record]]:
        records = self._records()
        if self._sort:
            records = iter(sorted(records, key=_user_and_moment))  # equal ones stay in the order of the rows
        while chunk := list(islice(records, _CHUNK)):
            yield chunk

    def _records(self) -> Iterator[Record]:
        for number, row in enumerate(self._up_to_its_end(), start=1):
            place: Place = number if self._place is None else self._place
            try:
                yield row_record(line_of(row) if self._table else row, self._kind, place)
            except LineError as error:
                self._unreadable += 1
                if len(self._problems) < _SHOWN:
                    self._problems.append(f"row {number}: {error}")

    def _up_to_its_end(self) -> Iterator[Mapping[str, Any]]:
        """Give the rows up to where their iterator fails, so that what it gave before can be sent."""
        try:
            yield from self._rows
        except Exception as error:  # noqa: BLE001 - an engine's iterator may raise anything; it is raised in the end
            self.broke_off = error

    def add_to(self, report: Report, refusals: Counter[str], failure: DfineryError | None) -> PartitionReport:
        """Add the bad rows to the books of the producer."""
        books = report.to_dict()
        books["accepted"] += self._unreadable
        books["rejected"] += self._unreadable
        refused = [f"refused {count:,} times: {text}" for text, count in refusals.most_common(_SHOWN)]
        return PartitionReport(
            **books,
            unreadable=self._unreadable,
            problems=(*refused, *self._problems)[:_SHOWN],
            error=None if failure is None else str(failure),
        )


def _user_and_moment(record: Record) -> tuple[bytes, float]:
    """By user first, so that requests get full; between users there is no order to keep."""
    return encode_identity(record.identity), 0.0 if record.event is None else record.event.datetime.timestamp()


class _Sending:
    """What runs in the portal's loop: a client and its producer."""

    def __init__(self, client: DfineryClient, job: _Job) -> None:
        self.refusals: Counter[str] = Counter()
        options: dict[str, Any] = {"linger": LINGER, "on_rejected": self._refused, **job.producer}
        self._client = client
        self._producer = client.producer(**options)
        self._give_up_after = job.give_up_after

    @classmethod
    async def open(cls, client: DfineryClient, job: _Job) -> Self:
        """Begin, in the loop that everything runs in."""
        return cls(client, job)

    async def take(self, records: list[Record]) -> None:
        for record in records:
            await hand_over(self._producer, record)

    async def settle(self) -> None:
        await self._producer.flush()

    async def look(self) -> DfineryError | None:
        return lost_cause(self._producer, self._producer.stats(), self._give_up_after)

    async def end(self, timeout: float | None) -> Report:
        return await self._producer.aclose(timeout=timeout)

    async def aclose(self) -> None:
        self._producer.abandon()  # does nothing to one that has ended
        await self._client.aclose()

    def _refused(self, rejection: Rejection) -> None:
        self.refusals[str(rejection.error)] += 1


def _feed(portal: Portal, sending: _Sending, reading: _Reading) -> DfineryError | None:
    """Hand all rows over, a chunk under way while the next one is read. Returns what ended it early."""
    under_way: Future[None] | None = None
    for chunk in reading.chunks():
        if under_way is not None and (failure := _watch(portal, sending, under_way)):
            return failure
        under_way = portal.start(sending.take, chunk)
    if under_way is not None and (failure := _watch(portal, sending, under_way)):
        return failure
    return _watch(portal, sending, portal.start(sending.settle))


def _watch(portal: Portal, sending: _Sending, work: Future[None]) -> DfineryError | None:
    """Wait for a piece of work, as long as there is use in it."""
    while not wait([work], timeout=_LOOK).done:
        if failure := portal.call(sending.look):
            work.cancel()
            return failure
    error = work.exception()
    if error is None or isinstance(error, DfineryError):
        return error
    raise error


def _read_settings(settings: Mapping[str, Any]) -> tuple[DfineryClient, _Job]:
    """Make the client and read the rest.

    Raises:
        ConfigError: a setting is unknown or can't work. Its value, which may be a token, is not told.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"settings must be a dict of the client's arguments, not {type(settings).__name__}")
    own = {name: value for name, value in settings.items() if name in _Job.__struct_fields__}
    others = {name: value for name, value in settings.items() if name not in own}
    try:
        job = msgspec.convert(own, _Job)
    except msgspec.ValidationError as error:
        raise ConfigError(f"a setting of the partition can't work: {error}") from None
    _check_names(others, DfineryClient, f"an argument of DfineryClient, nor one of {', '.join(_Job.__struct_fields__)}")
    _check_names(job.producer, DfineryClient.producer, "an argument of client.producer()")
    return DfineryClient.from_env(**others), job


def _check_names(given: Mapping[str, Any], taker: Callable[..., Any], what: str) -> None:
    known = inspect.signature(taker).parameters
    for name in given:
        if name not in known:
            raise ConfigError(f"the setting {name!r} is not {what}")


def _failed(report: PartitionReport) -> DeliveryError:
    lost = report.accepted - report.delivered
    reasons = "; ".join(filter(None, (report.error, *report.problems[:3])))
    return DeliveryError(f"{lost:,} of {report.accepted:,} rows were not delivered: {reasons}")
