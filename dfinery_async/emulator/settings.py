"""What the emulator can be told: one frozen value with every switch.

Where the vendor's pages allow more than one behaviour, the field's documentation names the page and says which
reading is the default.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, Literal

from dfinery_async.emulator.limits import FAMILIES, Quota

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from dfinery_async.emulator.profiles import Profile

# Exports print Korea time without an offset. Korea has kept UTC+9 without summer time since 1988, so a fixed offset
# says the same as the Asia/Seoul of the time zone database, which slim containers lack.
SEOUL = timezone(timedelta(hours=9), "Asia/Seoul")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The emulator's settings; each is also a keyword of `Emulator`.

    Attributes:
        port: the port to listen on at 127.0.0.1; 0 takes a free one.
        service_id: the only service there is. Six lower-case letters, as in the samples of "Extracting an event".
        import_token: the first valid Import token; None makes a random one.
        export_token: the first valid Export token; None makes a random one.
        keep_alive: seconds that an idle connection stays open.
        clock: gives the time as seconds since 1970; a test passes its own to move time.
        seed: start of the random numbers for unified ids and for the chance of faults.
        state: a file that keeps events and profiles between runs: read at the start if it exists, written every few
            seconds while something changes, and at the stop.
        keep_bodies: whether `requests` keep the parsed bodies; switch off for a heavy load.
        keep_requests: how many of the latest `requests` are kept; None keeps all.
        code_type: `code` as a string with `data` true ("Loading an event"), or as an integer with `data` null
            ("Detailed response" of the Import API): the samples have both.
        items_limit: whether 100 items are the most of a "request" or of an "event"; "Loading an event" says both.
        duplicates: "store" keeps each arrival of an `event_log_id`, since no page promises deduplication; "ignore"
            keeps the first.
        batches: "whole" refuses a request for one bad event, "partial" stores its good events and answers 20000.
        null_values: whether null is taken as an unset property or identity field. "Data Type" does not list it.
        unknown_fields: whether fields that no page names are refused.
        taxonomy: what is registered in the console ("Get started": only registered data is loaded). None: everything. A
            collection: the event names. A mapping: "events", "event_properties", "item_properties", "user_properties",
            each a list of names or of objects with a "name" and, where it is to be kept to, a "type" of "Data Type"; a
            missing list means everything.
        unregistered: "reject" answers 40001, "drop" answers 20000 and stores nothing.
        quota: limits that differ from the defaults, by family: `{"events": "1000/1m"}`; None lifts a limit.
        quota_counts: whether a call counts one, or as much as it has events ("Request Limit" does not say).
        windows: "aligned" windows begin on the clock, as all reset times of the samples do; "first_call" ones begin
            with the first call after the last window.
        limit_headers: spelling of the limit headers: "x-ratelimit" (samples), "x-rate-limit" (table of "Request
            Limit"), "x-rate-limit-rest" (the same with its misspelt `-Rest`), "both" or "none".
        reset_unit: the reset header in milliseconds (samples) or seconds (prose).
        period_letters: "mixed" as in the Korean page (`1m`, `1H`, `1d`), "upper" as in the English one, or "lower".
        over_limit: answer of the Import API beyond a limit: "429" with a JSON body, "429-empty", or "200" with 40401.
        exports_at_once: how many exports may run at the same time.
        visibility_delay: seconds until an event that was taken can be exported.
        export_days: how many days before today an export may start; None lifts the rule.
        today: the day that `export_days` counts from; None takes the clock's.
        item_rows: a CSV row per "item" of an event, or one per "event" with its first item. The samples have no items.
        csv_zone: the zone of datetimes in CSV and of the days in `from_date` and `to_date`.
        csv_datetime: "milliseconds" (`2025-01-06 10:38:10.036`) or "minutes" (`2025.1.6 10:38`), both in the sample, or
            "iso" with an offset.
        csv_booleans: "sample" writes `TRUE` in event exports and `true` in profile exports; "upper" and "lower"
            always so.
        csv_log_id: `<arrival>:<uuid>` "arrival", `<arrival>:<event>:<uuid>` "double" (both in the sample) or "bare".
        csv_event_name: name of the event name's column: the sample and the table of columns differ.
        csv_line_end: what ends a CSV line.
        csv_bom: whether CSV begins with a byte order mark.
        csv_content_type: the content type of CSV, which no page tells.
        source_type: value of `df_source_type`; the sample shows `SDK`, the console calls this API `HTTP_API`.
        audiences: audience ids of profile exports, each a collection of external ids or a test of a profile.
    """

    port: int = 0
    service_id: str = "devsvc"
    import_token: str | None = field(default=None, repr=False)
    export_token: str | None = field(default=None, repr=False)
    keep_alive: int = 75
    clock: Callable[[], float] = time.time
    seed: int = 0
    state: Path | str | None = None
    keep_bodies: bool = True
    keep_requests: int | None = None

    code_type: Literal["string", "integer"] = "string"
    items_limit: Literal["request", "event"] = "request"
    duplicates: Literal["store", "ignore"] = "store"
    batches: Literal["whole", "partial"] = "whole"
    null_values: Literal["accept", "reject"] = "accept"
    unknown_fields: Literal["accept", "reject"] = "reject"
    taxonomy: Mapping[str, Any] | Collection[str] | None = None
    unregistered: Literal["drop", "reject"] = "drop"

    quota: Mapping[str, Quota | str | None] = field(default_factory=dict[str, "Quota | str | None"])
    quota_counts: Literal["calls", "events"] = "calls"
    windows: Literal["aligned", "first_call"] = "aligned"
    limit_headers: Literal["x-ratelimit", "x-rate-limit", "x-rate-limit-rest", "both", "none"] = "x-ratelimit"
    reset_unit: Literal["s", "ms"] = "ms"
    period_letters: Literal["mixed", "upper", "lower"] = "mixed"
    over_limit: Literal["429", "429-empty", "200"] = "429"

    exports_at_once: int = 5
    visibility_delay: float = 0.0
    export_days: int | None = 30
    today: date | None = None
    item_rows: Literal["item", "event"] = "item"
    csv_zone: tzinfo = SEOUL
    csv_datetime: Literal["milliseconds", "minutes", "iso"] = "milliseconds"
    csv_booleans: Literal["sample", "upper", "lower"] = "sample"
    csv_log_id: Literal["arrival", "double", "bare"] = "arrival"
    csv_event_name: Literal["df_event_name", "event_name"] = "df_event_name"
    csv_line_end: Literal["\n", "\r\n"] = "\n"
    csv_bom: bool = False
    csv_content_type: str = "text/csv; charset=utf-8"
    source_type: str = "HTTP_API"
    audiences: Mapping[str, Collection[str] | Callable[[Profile], bool]] = field(
        default_factory=dict[str, "Collection[str] | Callable[[Profile], bool]"]
    )

    def __post_init__(self) -> None:
        """Refuse families that do not exist, and quotas that can't be read.

        Raises:
            ValueError: a key of `quota` is no family, or its text is no quota.
        """
        for family, quota in self.quota.items():
            if family not in FAMILIES:
                raise ValueError(f"quota: {family!r} is none of {', '.join(FAMILIES)}")
            if isinstance(quota, str):
                Quota.parse(quota)
