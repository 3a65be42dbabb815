"""Zstandard: of the standard library from Python 3.14 on, before that of the package that it was taken from."""

from __future__ import annotations

import sys
from typing import Any

from dfinery_async.errors import ConfigError

__all__ = ["zstd"]


def zstd() -> Any:
    """Return the module.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd as module  # noqa: PLC0415 - needed by few
        else:
            from backports import zstd as module  # noqa: PLC0415 - optional
    except ImportError:
        raise ConfigError(
            "files compressed with zstd need a package: install dfinery-async[zstd]; gzip (.gz) works without"
        ) from None
    return module
