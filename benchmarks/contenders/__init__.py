"""Everybody who takes part, by name, in the order of the tables."""

from __future__ import annotations

from contenders import amplitude, bare, by_aiohttp, by_httpx, mixpanel, ours, posthog, segment, snowplow
from contenders.common import Contender

CONTENDERS: dict[str, Contender] = {
    "bare-ready": bare.READY,
    "bare": bare.SAME_EVENTS,
    "ours": ours.TRACK,
    "ours-load": ours.LOAD,
    "ours-among-idle": ours.AMONG_IDLE,
    "ours-receipts": ours.RECEIPTS,
    "ours-tasks": ours.TASKS,
    "ours-send-many": ours.SEND_MANY,
    "ours-send-one": ours.SEND_ONE,
    "aiohttp-batched": by_aiohttp.BATCHED,
    "aiohttp": by_aiohttp.GATHER,
    "httpx-shards": by_httpx.SHARDS,
    "httpx": by_httpx.GATHER,
    "httpx-sequential": by_httpx.SEQUENTIAL,
    "snowplow": snowplow.TRACKER,
    "mixpanel": mixpanel.BUFFERED,
    "segment": segment.SEGMENT,
    "rudder": segment.RUDDER,
    "amplitude": amplitude.CLIENT,
    "posthog": posthog.CLIENT,
}
