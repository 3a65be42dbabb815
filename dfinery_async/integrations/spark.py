"""Apache Spark: a sink for DataFrames, batch and streaming, on PySpark's Python data sources. Needs Spark 4.1.

    spark.dataSource.register(DfinerySource)
    co_locate(events).write.format("dfinery").mode("append").save()

Every task sends one partition with `send_partition`. Packages and settings must be there on the executors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dfinery_async.config import ConnectionConfig, PacingConfig, RetryConfig, TimeoutConfig
from dfinery_async.errors import ConfigError
from dfinery_async.models import PartitionReport
from dfinery_async.partition import send_partition

if TYPE_CHECKING:  # the package comes without complete types, and is not there when types are checked
    functions: Any

    class _Source:
        options: Mapping[str, str]

    class _Writer: ...

    class _StreamWriter: ...

    class _Message: ...

else:
    try:
        from pyspark.sql import functions
        from pyspark.sql.datasource import (
            DataSource as _Source,
            DataSourceArrowWriter as _Writer,
            DataSourceStreamArrowWriter as _StreamWriter,
            WriterCommitMessage as _Message,
        )
    except ImportError as error:
        raise ImportError(
            "dfinery_async.integrations.spark needs PySpark 4.1 or newer: pip install 'dfinery-async[spark]'"
        ) from error

__all__ = ["DfinerySource", "co_locate"]

_DEFAULTS: Final[dict[str, Any]] = {"table": True, "ids": "content", "raise_on": "failure"}
_GROUPS: Final[dict[str, Any]] = {
    "producer": dict[str, Any],
    "connections": ConnectionConfig,
    "pacing": PacingConfig,
    "retry": RetryConfig,
    "timeouts": TimeoutConfig,
}
_OTHERS: Final = {"report", "path", "checkpointlocation"}  # no settings of a partition; the last two are Spark's own
_log = logging.getLogger("dfinery_async.spark")


def co_locate(df: Any, partitions: int | None = None) -> Any:
    """Bring all rows of a user into one partition, sorted by time; then they arrive in that order.

    The rows of a streaming DataFrame are not sorted here, as Spark does not sort streams: its writer does it.

    Args:
        df: a DataFrame with the columns of an events file.
        partitions: how many; by default as many as `spark.sql.shuffle.partitions` says.
    """
    users = [_quoted(name) for name in df.columns if name.partition(".")[0] == "identity"]
    if not users:
        raise ConfigError("no column says whose a row is: identity, or identity.external_id and its fellows")
    count = partitions or int(df.sparkSession.conf.get("spark.sql.shuffle.partitions"))
    # With a number, which adaptive execution leaves alone. It would join or split partitions otherwise.
    placed = df.repartition(count, *(functions.col(name) for name in users))
    if df.isStreaming:
        return placed
    # As a moment: texts with several offsets would not sort by time. What is none is refused when its row is sent.
    return placed.sortWithinPartitions(*users, functions.expr("try_cast(event_datetime AS TIMESTAMP)"))


class DfinerySource(_Source):
    """The format `dfinery`. Options are the settings of `send_partition`, written as text.

    `service_id`, `base_url`, `kind`, `ids`, `give_up_after`, `raise_on`, `sort` and, better left to the environment of
    the executors, `import_token`. Groups have dots: `producer.max_in_flight`, `pacing.share`, `retry.cap`. Here `ids`
    is `"content"`, and `raise_on` is `"failure"`: Spark then runs the task again. A stream is sorted by user and time
    within its partitions unless `sort` is `false`.

    `quota_share` is the address of a Redis in which all tasks share the quota (`integrations.redis`). Spark shows this
    option in its pages, so it should hold no password. `report` names a file on the driver that takes the reports as
    JSON: one of each partition, and their total.
    """

    @classmethod
    def name(cls) -> str:
        """The name of the format."""
        return "dfinery"

    def writer(self, schema: Any, overwrite: bool) -> PartitionWriter:  # noqa: ARG002, FBT001 - Spark's interface
        """Make the writer of a batch."""
        return PartitionWriter(_settings(self.options), _report_path(self.options, overwrite=overwrite))

    def streamWriter(  # noqa: N802 - Spark's interface
        self,
        schema: Any,  # noqa: ARG002
        overwrite: bool,  # noqa: FBT001
    ) -> StreamPartitionWriter:
        """Make the writer of a stream."""
        settings = {"sort": True, **_settings(self.options)}
        return StreamPartitionWriter(settings, _report_path(self.options, overwrite=overwrite))


class PartitionReported(_Message):
    """What a task tells the driver."""

    def __init__(self, report: PartitionReport) -> None:
        self.report: PartitionReport = report


class _Sending:
    """What the two writers share. Spark pickles it into each task."""

    def __init__(self, settings: Mapping[str, Any], report: str | None) -> None:
        self._settings = settings
        self._report = report

    def write(self, iterator: Iterator[Any]) -> PartitionReported:
        """Send a partition, which comes as record batches of Arrow."""
        rows = (row for batch in iterator for row in batch.to_pylist())
        return PartitionReported(send_partition(rows, settings=self._settings))

    def _told(self, messages: list[Any]) -> None:
        reports = [message.report for message in messages if message is not None]
        total = PartitionReport.total(reports)
        level = logging.INFO if total.complete else logging.WARNING
        _log.log(level, "%d of %d rows delivered%s", total.delivered, total.accepted, _problems(total))
        if self._report is not None:
            content = {"total": total.to_dict(), "partitions": [report.to_dict() for report in reports]}
            Path(self._report).write_bytes(msgspec.json.encode(content))


class PartitionWriter(_Sending, _Writer):
    """The writer of a batch."""

    def commit(self, messages: list[Any]) -> None:
        """Tell what was sent; called on the driver when all tasks are done."""
        self._told(messages)

    def abort(self, messages: list[Any]) -> None:
        """Tell what was sent before the job failed. It stays sent; run the job again, which makes no new events."""
        self._told(messages)


class StreamPartitionWriter(_Sending, _StreamWriter):
    """The writer of a stream."""

    def commit(self, messages: list[Any], batchId: int) -> None:  # noqa: ARG002, N803 - Spark's interface
        """Tell what was sent of a micro-batch."""
        self._told(messages)

    def abort(self, messages: list[Any], batchId: int) -> None:  # noqa: ARG002, N803 - Spark's interface
        """Tell what was sent before the micro-batch failed."""
        self._told(messages)


def _settings(options: Mapping[str, str]) -> dict[str, Any]:
    settings = dict(_DEFAULTS)
    groups: dict[str, dict[str, Any]] = {}
    for name, text in options.items():
        group, dot, inner = name.partition(".")
        if dot and group in _GROUPS:
            groups.setdefault(group, {})[inner] = _value(text)
        elif name in {"sort", "table", "http2", "give_up_after"}:
            settings[name] = _value(text)
        elif name == "quota_share":
            settings[name] = _redis_quota(text)
        elif name.lower() not in _OTHERS:
            settings[name] = text
    for group, values in groups.items():
        try:
            settings[group] = _GROUPS[group](**values)
        except TypeError:
            raise ConfigError(f"an option {group}.{'/'.join(values)} is not known") from None
    return settings


def _redis_quota(url: str) -> Any:
    from dfinery_async.integrations.redis import RedisQuota  # noqa: PLC0415 - another optional package

    return RedisQuota(url=url)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _report_path(options: Mapping[str, str], *, overwrite: bool) -> str | None:
    if overwrite:
        raise ConfigError('events are added, never replaced: use mode("append")')
    return options.get("report")


def _problems(report: PartitionReport) -> str:
    return "".join(f"; {problem}" for problem in report.problems)


def _quoted(name: str) -> str:
    return f"`{name}`"
