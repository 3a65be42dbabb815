"""Warnings that may come a thousand times a second, and are told once a minute."""

from __future__ import annotations

import logging
from collections.abc import Mapping

__all__ = ["Seldom"]

_KINDS = 1000


class Seldom:
    """Passes on the first warning of each kind and then one a minute, which says how many were left out.

    Of at most 1,000 kinds it knows when they were told; of more, those told longest ago are forgotten.

    Args:
        logger: where warnings go.
        every: seconds between two of a kind.
    """

    def __init__(self, logger: logging.Logger, every: float = 60.0) -> None:
        self._logger = logger
        self._every = every
        self._told: dict[str, tuple[float, int]] = {}  # by kind: when, and how many were left out since

    def warning(self, kind: str, now: float, message: str, fields: Mapping[str, object]) -> None:
        """Log a warning, unless one of this kind was logged a short while ago.

        Args:
            kind: what bounds the rate.
            now: the monotonic time.
            message: for people; it carries nothing personal.
            fields: the same for machines. They become attributes of the log record, as `dfinery_NAME`.
        """
        told, left_out = self._told.get(kind, (now - self._every, 0))
        if now - told < self._every:
            self._told[kind] = told, left_out + 1
            return
        self._told.pop(kind, None)
        if len(self._told) >= _KINDS:
            del self._told[next(iter(self._told))]
        self._told[kind] = now, 0
        named = {f"dfinery_{name}": value for name, value in {**fields, "left_out": left_out}.items()}
        more = f" ({left_out:,} more of these in between)" if left_out else ""
        self._logger.warning("%s%s", message, more, extra=named)
