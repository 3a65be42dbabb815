"""What the far end says of a run: was each event applied, has each one id, in which order did a user's come?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def judge(events: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Judge events in order of arrival, repetitions among them.

    Returns:
        `arrivals`; `events`, told apart by their order id; `ids`, told apart by their log id; `new_ids`, events that
        came under more than one id; `shared_ids`, ids that stand for more than one event; `overtaken`, events whose
        first arrival came after that of a later one of the same user.
    """
    arrivals = new_ids = shared_ids = overtaken = 0
    id_of: dict[str, str] = {}
    event_of: dict[str, str] = {}
    latest: dict[str, str] = {}
    for event in events:
        arrivals += 1
        order, log_id = event["event_properties"]["df_order_id"], event["event_log_id"]
        shared_ids += event_of.setdefault(log_id, order) != order
        if order in id_of:
            new_ids += id_of[order] != log_id
            continue
        id_of[order] = log_id
        user, moment = event["identity"]["external_id"], event["event_datetime"]
        overtaken += moment < latest.get(user, "")
        latest[user] = max(moment, latest.get(user, ""))
    return {
        "arrivals": arrivals,
        "events": len(id_of),
        "ids": len(event_of),
        "new_ids": new_ids,
        "shared_ids": shared_ids,
        "overtaken": overtaken,
    }
