"""The asyncio client for DFINERY: send customer events in order and without loss, and export them again.

Names are loaded when they are first used, so that importing the package stays light.

PYTEST_DONT_REWRITE: that word spares a warning those who import the package before they start pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfinery_async.client import DfineryClient
    from dfinery_async.config import ConnectionConfig, PacingConfig, RetryConfig, SpoolConfig, TimeoutConfig, Token
    from dfinery_async.core.mapping import TableMapping
    from dfinery_async.core.taxonomy import Taxonomy
    from dfinery_async.errors import (
        ApiError,
        BadRequest,
        ClientClosed,
        ConfigError,
        ConnectionFailed,
        DateRangeExceeded,
        DeliveryError,
        DfineryError,
        ExportError,
        ExportInterrupted,
        InvalidInputError,
        InvalidServiceId,
        InvalidToken,
        QueryFailed,
        QueueFull,
        RateLimited,
        ServerError,
        SpoolCorrupt,
        SpoolError,
        SpoolFull,
        SpoolLocked,
        TooManyEvents,
        TooManyProfiles,
        UnexpectedResponse,
        ValidationFailure,
    )
    from dfinery_async.models import Delivery, Event, Identity, PartitionReport, Probe, Quota, Rejection, Report, Stats
    from dfinery_async.partition import send_partition
    from dfinery_async.runtime.export import Export, ExportFile
    from dfinery_async.runtime.export_progress import ExportProgress
    from dfinery_async.runtime.mapping_files import read_mapping
    from dfinery_async.runtime.observing import Attempt, Observed, Observer
    from dfinery_async.runtime.producer import Producer
    from dfinery_async.runtime.receipts import Receipt
    from dfinery_async.runtime.taxonomy import read_taxonomy
    from dfinery_async.runtime.wire.transport import FastTransport
    from dfinery_async.typed import TypedEvent, TypedItem, TypedProfile
    from dfinery_async.version import __version__

__all__ = [
    "ApiError",
    "Attempt",
    "BadRequest",
    "ClientClosed",
    "ConfigError",
    "ConnectionConfig",
    "ConnectionFailed",
    "DateRangeExceeded",
    "Delivery",
    "DeliveryError",
    "DfineryClient",
    "DfineryError",
    "Event",
    "Export",
    "ExportError",
    "ExportFile",
    "ExportInterrupted",
    "ExportProgress",
    "FastTransport",
    "Identity",
    "InvalidInputError",
    "InvalidServiceId",
    "InvalidToken",
    "Observed",
    "Observer",
    "PacingConfig",
    "PartitionReport",
    "Probe",
    "Producer",
    "QueryFailed",
    "QueueFull",
    "Quota",
    "RateLimited",
    "Receipt",
    "Rejection",
    "Report",
    "RetryConfig",
    "ServerError",
    "SpoolConfig",
    "SpoolCorrupt",
    "SpoolError",
    "SpoolFull",
    "SpoolLocked",
    "Stats",
    "TableMapping",
    "Taxonomy",
    "TimeoutConfig",
    "Token",
    "TooManyEvents",
    "TooManyProfiles",
    "TypedEvent",
    "TypedItem",
    "TypedProfile",
    "UnexpectedResponse",
    "ValidationFailure",
    "__version__",
    "read_mapping",
    "read_taxonomy",
    "send_partition",
]

_MODULES = {
    "client": ("DfineryClient",),
    "config": ("ConnectionConfig", "PacingConfig", "RetryConfig", "SpoolConfig", "TimeoutConfig", "Token"),
    "core.taxonomy": ("Taxonomy",),
    "core.mapping": ("TableMapping",),
    "models": ("Delivery", "Event", "Identity", "PartitionReport", "Probe", "Quota", "Rejection", "Report", "Stats"),
    "partition": ("send_partition",),
    "runtime.export": ("Export", "ExportFile"),
    "runtime.export_progress": ("ExportProgress",),
    "runtime.mapping_files": ("read_mapping",),
    "runtime.observing": ("Attempt", "Observed", "Observer"),
    "runtime.producer": ("Producer",),
    "runtime.receipts": ("Receipt",),
    "runtime.taxonomy": ("read_taxonomy",),
    "runtime.wire.transport": ("FastTransport",),
    "typed": ("TypedEvent", "TypedItem", "TypedProfile"),
    "version": ("__version__",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
