"""The calls of a client that export."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from random import Random

from dfinery_async.config import RetryConfig
from dfinery_async.core.endpoints import EXPORT_EVENTS, EXPORT_PROFILES, Endpoint
from dfinery_async.core.export_plan import MAX_DAYS_PER_CALL, ExportCall, event_export_calls, profile_export_call
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.errors import ConfigError
from dfinery_async.runtime.export import Export
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.tasks import TaskOwner
from dfinery_async.runtime.taxonomy import taxonomy_of

__all__ = ["MAX_DAYS_PER_CALL", "ExportCalls"]


class ExportCalls:
    """What a client can export; it brings the way to the API."""

    _gateway: Gateway
    _retry: RetryConfig
    _tasks: TaskOwner
    _random: Random

    def _check_call(self, endpoint: Endpoint) -> None:
        """Raise when the client is closed, or has no token for this call."""
        raise NotImplementedError

    def export_events(
        self,
        from_date: dt.date | str,
        to_date: dt.date | str,
        *,
        events: Iterable[str] | None = None,
        exclude_events: Iterable[str] | None = None,
        properties: Iterable[str] | None = None,
        exclude_properties: Iterable[str] | None = None,
        days_per_call: int = MAX_DAYS_PER_CALL,
        zone: dt.tzinfo | None = None,
        taxonomy: Taxonomy | None = None,
    ) -> Export:
        """Prepare an export of events (API guide, "Extracting an event"); nothing is sent before it is entered.

        Args:
            from_date: first day, a date or `yyyy-MM-dd`. The API gives data of the last 30 days.
            to_date: last day, included. A range longer than a call covers becomes several calls, in order of days.
            events: only these; all by default.
            exclude_events: all but these.
            properties: only these; all by default. Those of items carry the prefix `df_items_`.
            exclude_properties: all but these.
            days_per_call: days that one call covers, 1 to 30. Each call counts against the quota of 100 an hour.
            zone: time zone of datetimes that come without one; Asia/Seoul by default.
            taxonomy: types of the service's own columns (`read_taxonomy("…")`); by default the standard ones are
                known, and others are told by the form of their cells.

        Raises:
            InvalidInputError: a date that is none, a range that runs backwards, or a list given both ways.
            ConfigError: a zone or a taxonomy that is none, or no export token.
        """
        calls = event_export_calls(
            from_date,
            to_date,
            events=events,
            exclude_events=exclude_events,
            properties=properties,
            exclude_properties=exclude_properties,
            days_per_call=days_per_call,
        )
        return self._export(EXPORT_EVENTS, calls, taxonomy, zone)

    def export_profiles(
        self,
        *,
        audience: str | None = None,
        properties: Iterable[str] | None = None,
        exclude_properties: Iterable[str] | None = None,
        identities: Iterable[str] | bool | None = None,
        zone: dt.tzinfo | None = None,
        taxonomy: Taxonomy | None = None,
    ) -> Export:
        """Prepare an export of profiles (API guide, "Extract user profile"); nothing is sent before it is entered.

        Args:
            audience: id of the audience whose users are exported; all users by default.
            properties: only these; all by default.
            exclude_properties: all but these.
            identities: `True` for the column `df_external_id`, the only identity that the API gives out.
            zone: time zone of datetimes that come without one; Asia/Seoul by default.
            taxonomy: types of the service's own columns (`read_taxonomy("…")`); by default the standard ones are
                known, and others are told by the form of their cells.

        Raises:
            InvalidInputError: names that are no text, or a list given both ways.
            ConfigError: a zone or a taxonomy that is none, or no export token.
        """
        call = profile_export_call(
            audience=audience,
            properties=properties,
            exclude_properties=exclude_properties,
            identities=identities,
        )
        return self._export(EXPORT_PROFILES, [call], taxonomy, zone)

    def _export(
        self, endpoint: Endpoint, calls: Sequence[ExportCall], taxonomy: Taxonomy | None, zone: dt.tzinfo | None
    ) -> Export:
        self._check_call(endpoint)
        if zone is not None and not isinstance(zone, dt.tzinfo):
            raise ConfigError('zone must be a time zone, such as ZoneInfo("Asia/Seoul")')
        columns = taxonomy_of(taxonomy).columns
        return Export(
            self._gateway,
            endpoint,
            calls,
            tasks=self._tasks,
            retry=self._retry,
            random=self._random.random,
            kinds={name: column.type for name, column in columns.items() if column.type is not None},
            zone=zone,
            width=self._gateway.concurrent_exports,
        )
