"""Ray Data: a sink for datasets.

    co_locate(dataset, 8).write_datasink(DfineryDatasink())

Every write task sends its blocks with `send_partition`. Packages and settings must be there on the workers.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dfinery_async.errors import ConfigError
from dfinery_async.models import PartitionReport
from dfinery_async.partition import send_partition

if TYPE_CHECKING:  # the package comes with incomplete types, and is not there when types are checked
    BlockAccessor: Any

    class _Datasink: ...

else:
    try:
        from ray.data.block import BlockAccessor
        from ray.data.datasource import Datasink as _Datasink
    except ImportError as error:
        raise ImportError("dfinery_async.integrations.ray needs Ray Data: pip install 'dfinery-async[ray]'") from error

__all__ = ["DfineryDatasink", "co_locate"]

_DEFAULTS: Final[dict[str, Any]] = {"table": True, "ids": "content", "sort": True, "raise_on": "failure"}
_BUCKET: Final = "dfinery_bucket"
_canonical = msgspec.json.Encoder(order="deterministic").encode
_log = logging.getLogger("dfinery_async.ray")


def co_locate(dataset: Any, blocks: int) -> Any:
    """Bring all rows of a user into one block. `DfineryDatasink` then sends them in the order of their time.

    Adds a column, `dfinery_bucket`, which the sink takes off again.

    Args:
        dataset: a dataset with the columns of an events file.
        blocks: how many. Two or three for each worker keep all of them busy; a block must fit into a worker's memory.
    """
    if not _user_columns(dataset.schema().names):
        raise ConfigError("no column says whose a row is: identity, or identity.external_id and its fellows")
    return dataset.map_batches(_with_bucket, batch_format="pyarrow", fn_args=(blocks,)).repartition(
        blocks, keys=[_BUCKET]
    )


class DfineryDatasink(_Datasink):
    """Sends what `Dataset.write_datasink` gives it.

    Events of a block are sent sorted by user and time; `{"sort": False}` keeps the order of the rows.

    Args:
        settings: as for `send_partition`; here `"ids"` is `"content"` and `"raise_on"` is `"failure"`, which fails the
            task. Tokens are better left to the environment of the workers: settings are stored with each task.

    Attributes:
        report: the total of all tasks, once the dataset is written.
        reports: that of each task.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self._settings: dict[str, Any] = {**_DEFAULTS, **(settings or {})}
        self.report: PartitionReport | None = None
        self.reports: list[PartitionReport] = []

    def get_name(self) -> str:
        """The name of the write tasks."""
        return "dfinery"

    def write(self, blocks: Iterable[Any], ctx: Any) -> PartitionReport:  # noqa: ARG002 - Ray's interface
        """Send the blocks of one task."""
        return send_partition(_rows(blocks), settings=self._settings)

    def on_write_complete(self, write_result: Any) -> None:
        """Add the reports of all tasks up; called on the driver."""
        self.reports = list(write_result.write_returns)
        self.report = PartitionReport.total(self.reports)
        level = logging.INFO if self.report.complete else logging.WARNING
        _log.log(level, "%d of %d rows delivered", self.report.delivered, self.report.accepted)


def _rows(blocks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        for row in BlockAccessor.for_block(block).to_arrow().to_pylist():
            row.pop(_BUCKET, None)
            yield row


def _user_columns(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.partition(".")[0] == "identity"]


def _with_bucket(table: Any, blocks: int) -> Any:
    """Number the buckets by what the identity says, the same on every worker."""
    users = table.select(_user_columns(table.column_names)).to_pylist()
    return table.append_column(_BUCKET, [[zlib.crc32(_canonical(user)) % blocks for user in users]])
