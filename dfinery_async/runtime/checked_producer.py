"""A producer that looks into the taxonomy before it takes anything over. Without one, nothing of this runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.core.taxonomy_check import Fault, event_faults, profile_faults
from dfinery_async.errors import ConfigError, InvalidInputError
from dfinery_async.models import Event, Identity
from dfinery_async.redact import safe_text
from dfinery_async.runtime.intake import check_user_properties
from dfinery_async.runtime.logs import Seldom
from dfinery_async.runtime.producer import Producer
from dfinery_async.runtime.receipts import Receipt

__all__ = ["CheckedProducer", "TaxonomyCheck"]

_log = logging.getLogger("dfinery_async.taxonomy")


class TaxonomyCheck:
    """Compares what is handed over with what is registered.

    Args:
        taxonomy: what is registered.
        mode: `"raise"` InvalidInputError at the call, or `"warn"`: log it, each kind of slip once a minute.
    """

    def __init__(self, taxonomy: Taxonomy, mode: Literal["warn", "raise"]) -> None:
        if mode not in ("warn", "raise"):
            raise ConfigError(f'validate must be "off", "warn" or "raise", not {mode!r}')
        self._taxonomy = taxonomy
        self._raises = mode == "raise"
        self._warnings = Seldom(_log)

    def event(self, event: Event) -> None:
        """Look at an event."""
        self._tell(event.name, event_faults(self._taxonomy, event))

    def profile(self, properties: Mapping[str, Any]) -> None:
        """Look at user properties."""
        self._tell("profile", profile_faults(self._taxonomy, properties))

    def _tell(self, what: str, faults: Iterator[Fault]) -> None:
        for fault in faults:
            if self._raises:
                raise InvalidInputError(fault.reason, field=fault.field)
            fields = {"event": safe_text(what), "field": safe_text(fault.field)}  # a mistaken name may be an address
            message = f"{fields['event']}: {fields['field']}: {fault.reason}"
            self._warnings.warning(f"{what} {fault.field}", time.monotonic(), message, fields)


class CheckedProducer(Producer):
    """A producer with a look into the taxonomy at `track`, `track_nowait` and `set_profile`."""

    def __init__(self, *arguments: Any, check: TaxonomyCheck, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._check = check

    async def track(self, identity: Identity | str, event: Event | str) -> Receipt:
        """Hand over one event, as `Producer.track` does, if the taxonomy knows it."""
        self._check.event(event := Event.of(event))
        return await super().track(identity, event)

    def track_nowait(self, identity: Identity | str, event: Event | str) -> Receipt:
        """Hand over one event, as `Producer.track_nowait` does, if the taxonomy knows it."""
        self._check.event(event := Event.of(event))
        return super().track_nowait(identity, event)

    async def set_profile(self, identity: Identity | str, properties: Mapping[str, Any]) -> Receipt:
        """Set user properties, as `Producer.set_profile` does, if the taxonomy knows them."""
        self._check.profile(checked := check_user_properties(properties))
        return await super().set_profile(identity, checked)
