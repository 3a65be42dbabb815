"""snowplow-tracker: an emitter that sends batches of 100 across users, in the caller's thread."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from contenders.common import Contender, Send, Target
from kit.loads import MOST_PER_REQUEST, Row


@asynccontextmanager
async def _open(target: Target) -> AsyncIterator[Send]:
    import requests
    import snowplow_tracker

    logging.getLogger("snowplow_tracker.emitters").setLevel(logging.WARNING)  # it writes a line for every request
    parts = urlsplit(target.url)
    failures: list[int] = []
    emitter = snowplow_tracker.Emitter(
        parts.hostname,
        protocol=parts.scheme,
        port=parts.port,
        batch_size=MOST_PER_REQUEST,
        session=requests.Session(),
        on_failure=lambda _delivered, failed: failures.append(len(failed)),
    )
    tracker = snowplow_tracker.Tracker("bench", emitter, encode_base64=False)

    async def send(rows: Sequence[Row]) -> None:
        for user, name, properties in rows:
            subject = snowplow_tracker.Subject()
            subject.set_user_id(user)
            data = snowplow_tracker.SelfDescribingJson(f"iglu:com.acme/{name}/jsonschema/1-0-0", properties)
            tracker.track(snowplow_tracker.SelfDescribing(data, event_subject=subject))
        emitter.flush()
        if failures:
            raise RuntimeError(f"{sum(failures)} events failed")

    yield send


TRACKER = Contender(label="snowplow-tracker", kind="vendor", open=_open, cap=50_000)
