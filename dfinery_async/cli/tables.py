"""Options of the commands that read tables: what their columns are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from dfinery_async.cli.exits import CliError
from dfinery_async.cli.source import Format, Shape
from dfinery_async.core.mapping import TableMapping
from dfinery_async.core.records import Kind
from dfinery_async.errors import ConfigError
from dfinery_async.runtime.mapping_files import read_mapping, time_zone
from dfinery_async.runtime.taxonomy import read_taxonomy

__all__ = ["TABLES_HELP", "TableOptions"]

TABLES_HELP = """A table that is not in our shape is loaded as it is when you say which column is
which field, in a mapping file or here:

  dfinery load events shop.parquet --zone Asia/Seoul
      --map customer=identity.external_id --map at=event_datetime
      --map total=event_properties.df_total_purchase_amount
      --map sku=event_items.df_item_id --set event_name=df_purchase

event_items.NAME are properties of the one item that a row is. Columns that
nothing is said of are left out.
"""


def _several(text: str) -> Parameter:
    return Parameter(negative="", consume_multiple=False, help=f"{text}; may be repeated.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What the lines of a file are."""

    mapping: Annotated[
        str | None, Parameter(help="File that says which column is which field: TOML, or JSON by its ending.")
    ] = None
    map_: Annotated[list[str] | None, Parameter(name="--map"), _several("COLUMN=FIELD: this column is that field")] = (
        None
    )
    set_: Annotated[list[str] | None, Parameter(name="--set"), _several("FIELD=VALUE: a field of every row")] = None
    zone: Annotated[
        str | None, Parameter(help="Time zone of days, and of datetimes without one: Asia/Seoul, UTC, +09:00.")
    ] = None
    datetime_format: Annotated[
        str | None, Parameter(help="How event_datetime is written, as %d.%m.%Y %H:%M; ISO 8601 by default.")
    ] = None
    header: Annotated[
        str | None, Parameter(help="Names of the columns, parted by commas, of a text that has no header.")
    ] = None
    separator: Annotated[
        str | None, Parameter(help="What parts cells: a character, or comma, semicolon, tab, pipe, whitespace.")
    ] = None

    taxonomy: Annotated[
        str | None,
        Parameter(help="File of what is registered with the service, JSON or YAML: what is not in it is a bad line."),
    ] = None

    def shape(self, kind: Kind, form: Format | None) -> Shape:
        """Return how the files of a command are written.

        Raises:
            CliError: an option can't be understood, or its file can't be read.
        """
        try:
            taxonomy = None if self.taxonomy is None else read_taxonomy(self.taxonomy)
        except ConfigError as error:
            raise CliError(str(error)) from None
        return Shape(kind=kind, form=form, mapping=self.table_mapping(), taxonomy=taxonomy)

    def table_mapping(self) -> TableMapping | None:
        """Return what was said; `None` where nothing was.

        Raises:
            CliError: it can't be understood.
        """
        changes: dict[str, Any] = {
            "columns": _pairs(self.map_, "--map", "COLUMN=FIELD"),
            "constants": _pairs(self.set_, "--set", "FIELD=VALUE"),
            "datetime_format": self.datetime_format,
            "header": None if self.header is None else tuple(self.header.split(",")),
            "separator": self.separator,
        }
        changes = {name: value for name, value in changes.items() if value}
        if not changes and self.mapping is None and self.zone is None:
            return None
        try:
            base = TableMapping() if self.mapping is None else read_mapping(self.mapping)
            if self.zone is not None:
                changes["zone"] = time_zone(self.zone)
            for name in ("columns", "constants"):
                if name in changes:
                    changes[name] = {**getattr(base, name), **changes[name]}
            return TableMapping(**{**msgspec.structs.asdict(base), **changes})
        except ConfigError as error:
            raise CliError(str(error)) from None


def _pairs(texts: Sequence[str] | None, option: str, form: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise CliError(f"{option} takes {form}")
        pairs[name] = value
    return pairs
