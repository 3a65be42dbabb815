"""dlt: a destination.

    pipeline = dlt.pipeline("shop", destination=destination())
    pipeline.run(rows, table_name="events")

Each load job sends its rows with `send_partition`, in batches. Settings come from the environment, or as an argument.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.core.records import Kind
from dfinery_async.errors import ConfigError
from dfinery_async.models import PartitionReport
from dfinery_async.partition import send_partition

if TYPE_CHECKING:  # the package is not there when types are checked
    dlt: Any

    class DestinationTerminalException(Exception): ...

else:
    try:
        import dlt
        from dlt.destinations.exceptions import DestinationTerminalException
    except ImportError as error:
        raise ImportError("dfinery_async.integrations.dlt needs dlt: pip install 'dfinery-async[dlt]'") from error

__all__ = ["destination"]

_DEFAULTS: Final[dict[str, Any]] = {"table": True, "ids": "content", "raise_on": "failure"}
_TABLES: Final[dict[str, Kind]] = {"events": "events", "profiles": "profiles", "identities": "identities"}
_log = logging.getLogger("dfinery_async.dlt")


def destination(
    settings: Mapping[str, Any] | None = None,
    *,
    tables: Mapping[str, Kind] = _TABLES,
    batch_size: int = 10_000,
    on_report: Callable[[PartitionReport], object] | None = None,
) -> Any:
    """Make a destination for `dlt.pipeline(destination=…)`. It adds; it never replaces or merges.

    A batch that could not be sent as a whole fails its job, which dlt then runs again from that batch. Rows that the
    API refuses are counted and logged; they stop nothing.

    Args:
        settings: as for `send_partition`; here `"ids"` is `"content"` and `"raise_on"` is `"failure"`.
        tables: what each table holds.
        batch_size: rows that are sent at once, and sent again when one of them could not be sent.
        on_report: called with the report of each batch, in the thread of its job.

    Raises:
        ConfigError: `settings` hold the kind of rows, which the table says.
    """
    if settings and "kind" in settings:
        raise ConfigError("the table says what it holds: use tables={…} in place of the setting kind")

    def send(items: Any, table: Mapping[str, Any]) -> None:
        name = table["name"]
        if name not in tables:
            raise DestinationTerminalException(
                f"what does the table {name} hold? tables={{{name!r}: 'events'}} says it"
            )
        try:
            report = send_partition(items, settings={**_DEFAULTS, **(settings or {}), "kind": tables[name]})
        except ConfigError as error:  # no other run mends it
            raise DestinationTerminalException(str(error)) from error
        if not report.complete:
            _log.warning(
                "%s: %d of %d rows delivered; %s", name, report.delivered, report.accepted, "; ".join(report.problems)
            )
        if on_report is not None:
            on_report(report)

    # Objects and lists stay what they are, names stay as they are, and dlt's own columns and tables stay out.
    make = dlt.destination(
        send,
        name="dfinery",
        batch_size=batch_size,
        loader_file_format="typed-jsonl",
        naming_convention="direct",
        max_table_nesting=0,
        skip_dlt_columns_and_tables=True,
    )
    return make()
