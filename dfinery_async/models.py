"""The values that users hand in and get back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
from msgspec.structs import force_setattr

from dfinery_async.errors import DfineryError, InvalidInputError
from dfinery_async.ids import new_log_id
from dfinery_async.redact import looks_personal, safe_name
from dfinery_async.values import check_items, check_properties, check_text, datetime_text, log_id_text

if TYPE_CHECKING:
    import uuid

__all__ = ["Delivery", "Event", "Identity", "PartitionReport", "Probe", "Quota", "Rejection", "Report", "Stats"]


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Who an event or a profile belongs to: at least one of five ids. An empty text counts as absent.

    Two identities are the same user for ordering and batching only when all five fields are equal.
    API guide, "Identity": at least one of the five must hold a value.

    Attributes:
        external_id: your own id of the user; the API advises a fixed value free of personal data.
        email: e-mail address.
        phone_no: phone number with country code, without `+` and leading zero, such as `821055501234`.
        kakao_user_id: Kakao id.
        line_user_id: LINE id.

    Raises:
        InvalidInputError: all fields are empty, or one is no text.
    """

    external_id: str | None = None
    email: str | None = None
    phone_no: str | None = None
    kakao_user_id: str | None = None
    line_user_id: str | None = None

    def __post_init__(self) -> None:
        some = False
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, str) and not value:
                force_setattr(self, name, None)
                continue
            text = check_text(value, f"identity.{name}")
            if text is not value:
                force_setattr(self, name, text)
            some = True
        if not some:
            names = ", ".join(self.__struct_fields__)
            raise InvalidInputError(f"needs at least one of {names}", field="identity")

    @classmethod
    def of(cls, value: Identity | str) -> Identity:
        """Return `value` as an identity; a plain text is an `external_id`."""
        if isinstance(value, Identity):
            return value
        if isinstance(value, str):
            return cls(external_id=value)
        raise InvalidInputError(f"must be an Identity or a text, not {type(value).__name__}", field="identity")

    def __rich_repr__(self) -> Any:
        """Rich must not print what `repr` hides."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                yield name, value if name == "external_id" and not looks_personal(value) else "***"

    def __repr__(self) -> str:
        return f"Identity({', '.join(f'{name}={shown!r}' for name, shown in self.__rich_repr__())})"


_UTC = dt.UTC


class _Named(msgspec.Struct, frozen=True):
    name: str


class Event(_Named, frozen=True, kw_only=True):
    """Something that a user did.

    The event keeps checked copies of what it is given: changing a dict afterwards changes nothing. Datetimes among the
    properties are kept as the text that is sent. Two events are equal when the API gets the same from both.

    Attributes:
        name: registered name of the event, such as `df_purchase`.
        properties: values by name; `None` goes out as `null`, as in the vendor's sample.
        items: products of the event, at most 100; each a dict of values by name.
        datetime: when it happened; aware; now by default. Sent as UTC with milliseconds, truncated.
        log_id: UUID of the event, made once by default and kept over every retry.

    Raises:
        InvalidInputError: a value that the API has no room for; it names the field.
    """

    properties: Mapping[str, Any] | None = None
    items: Sequence[Mapping[str, Any]] | None = None
    datetime: dt.datetime = cast("dt.datetime", None)
    log_id: str = cast("str", None)

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            *,
            properties: Mapping[str, Any] | None = None,
            items: Sequence[Mapping[str, Any]] | None = None,
            datetime: dt.datetime | None = None,
            log_id: str | uuid.UUID | None = None,
        ) -> None: ...

    def __post_init__(self: Any) -> None:  # what a caller gave may be of any type
        name = self.name
        if type(name) is not str or not name or not name.isascii():
            force_setattr(self, "name", check_text(name, "name"))
        if self.properties is not None:
            force_setattr(self, "properties", check_properties(self.properties, "properties"))
        if self.items is not None:
            force_setattr(self, "items", check_items(self.items, "items"))
        moment = self.datetime
        if moment is None:
            force_setattr(self, "datetime", dt.datetime.now(_UTC))  # by name: tests of users may freeze it
        elif not isinstance(moment, dt.datetime):
            raise InvalidInputError(f"must be a datetime, not {type(moment).__name__}", field="datetime")
        elif moment.tzinfo is not _UTC:
            datetime_text(moment, "datetime")
        log_id = self.log_id
        force_setattr(self, "log_id", new_log_id() if log_id is None else log_id_text(log_id, "log_id"))

    @classmethod
    def of(cls, value: Event | str) -> Event:
        """Return `value` as an event; a plain text is an event of that name."""
        if isinstance(value, Event):
            return value
        if isinstance(value, str):
            return cls(value)
        raise InvalidInputError(f"must be an Event or a text, not {type(value).__name__}", field="event")

    def __eq__(self, other: object) -> bool:
        return self._sent() == other._sent() if isinstance(other, Event) else NotImplemented

    def __ne__(self, other: object) -> bool:  # the one of msgspec's base compares field by field
        return self._sent() != other._sent() if isinstance(other, Event) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.log_id)

    def _sent(self) -> tuple[Any, ...]:
        return self.log_id, self.name, datetime_text(self.datetime, "datetime"), self.properties, self.items

    def __rich_repr__(self) -> Any:
        """Rich must not print what `repr` hides: the values."""
        yield safe_name(self.name)  # somebody may take an address for a name
        if self.properties:
            yield "properties", f"<{', '.join(map(safe_name, self.properties))}>"
        if self.items:
            yield "items", f"<{len(self.items)}>"
        yield "datetime", datetime_text(self.datetime, "datetime")
        yield "log_id", self.log_id

    def __repr__(self) -> str:
        name, *rest = self.__rich_repr__()
        return f"Event({', '.join([repr(name), *(f'{key}={value}' for key, value in rest)])})"


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an awaited receipt gives.

    Attributes:
        status: `"delivered"`, or `"spooled"` when the producer closed with the event safe on disk, or the event was
            not delivered within `delivery_timeout` and is safe there: it is still sent when its turn comes.
        attempts: requests that carried it.
    """

    status: Literal["delivered", "spooled"]
    attempts: int


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that the API refused for good, as `on_rejected` gets it.

    Attributes:
        identity: whose it is.
        kind: `"event"`, `"profile"` or `"identity"`.
        event: the event, `None` for the other kinds.
        properties: the user properties of a profile, `None` for the other kinds.
        error: why.
        attempts: requests that carried it.
    """

    identity: Identity
    kind: Literal["event", "profile", "identity"]
    event: Event | None = None
    properties: Mapping[str, Any] | None = None
    error: DfineryError
    attempts: int

    def __rich_repr__(self) -> Any:
        """Rich must not print the values."""
        yield "identity", self.identity
        yield "kind", self.kind
        yield "error", self.error
        yield "attempts", self.attempts

    def __repr__(self) -> str:
        return f"Rejection({', '.join(f'{key}={value!r}' for key, value in self.__rich_repr__())})"


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The books of a producer. `accepted == delivered + rejected + dropped + spooled + pending`, always.

    One unit is one accepted `track`, `identify` or `set_profile`; one merged into another is delivered with it.

    Attributes:
        accepted: units taken over from callers.
        delivered: units that the API confirmed with 20000.
        rejected: units that the API refused for good.
        dropped: units that the user's own `on_full`, `delivery_timeout` or `aclose(timeout)` gave up.
        spooled: units left on disk when the producer closed.
        pending: units that wait or are in the air.
        pending_bytes: their encoded size.
        capacity: units that may be pending at the most.
        in_flight: requests in the air now.
        users: identities with pending units.
        requests: requests made, retries and those in the air included.
        retries: requests that repeated an earlier one.
        throttled: answers that said "too many requests".
        silent_for: seconds for which requests have gone without any answer of the API's; 0 when none is due.
        seconds: since the producer opened.
        state: `"running"`, `"throttled"`, `"unreachable"`, `"unauthorized"`, `"misconfigured"`, `"closing"`,
            `"closed"` or `"failed"`.
    """

    accepted: int = 0
    delivered: int = 0
    rejected: int = 0
    dropped: int = 0
    spooled: int = 0
    pending: int = 0
    pending_bytes: int = 0
    capacity: int = 0
    in_flight: int = 0
    users: int = 0
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    silent_for: float = 0.0
    seconds: float = 0.0
    state: str = "running"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return msgspec.structs.asdict(self)


class Report(Stats, frozen=True, kw_only=True):
    """The books at the end of a `flush()`, an `aclose()` or a `load()`."""


class PartitionReport(Report, frozen=True, kw_only=True):
    """What `send_partition` did. A bad row counts as accepted and as rejected, so that the books balance.

    Attributes:
        unreadable: bad rows, which were never sent.
        problems: what was wrong, the first ten kinds of it, without values of the rows.
        error: why the partition ended before its last row; `None` where it did not.
    """

    unreadable: int = 0
    problems: tuple[str, ...] = ()
    error: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every row was delivered."""
        return self.error is None and self.delivered == self.accepted

    @classmethod
    def total(cls, reports: Iterable[PartitionReport]) -> PartitionReport:
        """Add up a job's reports: the longest `seconds`, the first ten `problems`, the first `error`."""
        several = list(reports)
        counts = [name for name, value in cls().to_dict().items() if type(value) is int]
        sums: dict[str, Any] = {name: sum(getattr(report, name) for report in several) for name in counts}
        return cls(
            **sums,
            seconds=max((report.seconds for report in several), default=0.0),
            state="closed",
            problems=tuple(problem for report in several for problem in report.problems)[:10],
            error=next((report.error for report in several if report.error), None),
        )


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the quota of one family of calls; `None` where nothing is known yet.

    Attributes:
        family: `"events"`, `"identities"`, `"profiles"` or `"exports"`.
        limit_period: length of the quota's window in seconds.
        remaining: calls left in this window.
        reset_at: when the window ends, as an aware UTC datetime.
        pace: calls a second that the client allows itself.
        wait: seconds for which it makes none, as the quota is used up; 0 while calls may go.
    """

    family: str
    limit_period: float | None = None
    remaining: int | None = None
    reset_at: dt.datetime | None = None
    pace: float | None = None
    wait: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return msgspec.structs.asdict(self)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at the API found; `None` for steps that were not reached, or not looked at.

    Attributes:
        addresses: of the API's name.
        resolve_seconds: until they were known.
        connect_seconds: until a connection stood.
        tls_seconds: until one stood with TLS.
        tls: version that was agreed on.
        certificate: the names that it is for.
        expires_at: when it expires.
        trouble: what stood in the way of a connection.
        answer_seconds: until the API answered.
        skew: seconds by which our clock is certainly ahead of the API's; negative where it is behind, 0 where the two
            may agree.
        error: what the API answered, or why it did not; `None` when it took the request.
    """

    addresses: int | None = None
    resolve_seconds: float | None = None
    connect_seconds: float | None = None
    tls_seconds: float | None = None
    tls: str | None = None
    certificate: str | None = None
    expires_at: dt.datetime | None = None
    trouble: str | None = None
    answer_seconds: float | None = None
    skew: float | None = None
    error: DfineryError | None = None
