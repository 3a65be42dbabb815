"""The checks at the end of a simulation: every unit has its true fate, and nothing is left of the client."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

from sim_ledger import ACCEPTED, REFUSED, UNKNOWN, Ledger
from sim_loop import SimulationLoop
from sim_plan import Plan
from sim_users import Crowd

from dfinery_async import ApiError, ClientClosed, ConnectionFailed, DeliveryError, DfineryClient, QueueFull

__all__ = ["audit", "check_leaks"]

_FUTURES_EVERY = 64  # looking through all objects takes longer than many a simulation


async def audit(ledger: Ledger, crowds: list[Crowd], arrived: int) -> None:
    """Compare the fate of every unit, as its receipt tells it, with what happened to it, and count the requests."""
    for crowd in crowds:
        crowd.look_no_more()
    if (sent := sum(crowd.producer.stats().requests for crowd in crowds)) < arrived:
        ledger.breaks("books", f"{sent} requests, and {arrived} have arrived")
    tallies = [Counter[str]() for _ in crowds]
    for number, (user, receipt, call) in enumerate(zip(ledger.user_of, ledger.receipts, ledger.call_of, strict=True)):
        tally = tallies[user.owner]
        applied = number in ledger.applied
        if call == UNKNOWN:
            tally["unknown"] += 1
            tally["unknown and applied"] += applied
        elif call == REFUSED:
            if applied:
                ledger.breaks("grouping", f"unit {number} was applied, though the producer would not take it")
        elif call != ACCEPTED or receipt is None:
            ledger.breaks("waiter", f"the call of unit {number} never came back")
        elif not receipt.done():
            ledger.breaks("lost", f"unit {number} was accepted, and nothing came of it")
        else:
            try:
                await receipt
            except DeliveryError as error:
                tally[_judge(ledger, crowds[user.owner], number, error)] += 1
            else:
                tally["delivered"] += 1
                if not applied:
                    ledger.breaks("lost", f"unit {number} is said to be delivered, and never was")
    for crowd, tally in zip(crowds, tallies, strict=True):
        _audit_books(ledger, crowd, tally)


def _judge(ledger: Ledger, crowd: Crowd, number: int, error: DeliveryError) -> str:
    """Say which fate a failed receipt stands for, and whether it was due."""
    options = crowd.part.options
    match error.__cause__:
        case ApiError():
            fate, due = "rejected", number in ledger.poison
        case QueueFull():
            fate, due = "dropped", options["on_full"] == "drop_newest"
        case ClientClosed():
            fate, due = "dropped", crowd.cut
        case ConnectionFailed():
            fate, due = "dropped", "delivery_timeout" in options
        case _:
            fate, due = "dropped", False
    if not due:
        ledger.breaks("lost", f"unit {number} failed without a good reason: {error!r} from {error.__cause__!r}")
    if fate == "rejected" and number in ledger.applied:
        ledger.breaks("untrue", f"unit {number} is said to be rejected, and was applied")
    return fate


def _audit_books(ledger: Ledger, crowd: Crowd, tally: Counter[str]) -> None:
    """The books of the producer and the fates of its units must be the same."""
    books = crowd.producer.stats()
    over = {fate: getattr(books, fate) - tally[fate] for fate in ("delivered", "rejected", "dropped")}
    extra = books.accepted - ledger.accepted_of[crowd.owner]
    if books.pending or books.spooled or min(over.values()) < 0 or sum(over.values()) != extra:
        ledger.breaks("books", f"{books} where receipts say {tally}")
    if extra > tally["unknown"] or over["delivered"] > tally["unknown and applied"]:
        ledger.breaks("books", f"{extra} accepted that nobody handed in: {books}, {tally}")
    if crowd.part.collect != "no":
        told = len(crowd.rejected)
        if told > books.rejected or (told < books.rejected and not crowd.cut):
            ledger.breaks("lost", f"{books.rejected} rejected, {told} of them told to on_rejected")
        for rejection in crowd.rejected:
            if rejection.event and ledger.number_of[rejection.event.log_id] not in ledger.poison:
                ledger.breaks("untrue", f"{rejection.event} was rejected and is good")


def check_leaks(ledger: Ledger, client: DfineryClient, crowds: list[Crowd], loop: SimulationLoop, plan: Plan) -> None:
    """Nothing of a closed client may be left."""
    if plan.seed % _FUTURES_EVERY == 0:
        gc.collect()
        own = asyncio.current_task()
        futures = [one for one in gc.get_objects() if isinstance(one, asyncio.Future) and one is not own]
        if pending := [one for one in futures if not one.done() and one.get_loop() is loop]:
            ledger.breaks("leak", f"{len(pending)} futures: {pending[:3]}")
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        ledger.breaks("leak", f"tasks: {sorted(task.get_name() for task in others)}")
    if armed := loop.armed():
        ledger.breaks("leak", f"timers: {armed}")
    if len(client._tasks):
        ledger.breaks("leak", f"{len(client._tasks)} tasks of the client")
    transport = client._transport
    if transport.taken or transport.waiting:
        ledger.breaks("leak", f"{transport.taken} places did not come back, {transport.waiting} requests wait")
    for crowd in crowds:
        producer = crowd.producer
        if len(producer._lanes) or producer._room._waiting or producer._accounts._flushes:
            ledger.breaks("leak", "a closed producer holds lanes or waiters")
    if any(user.in_air for user in ledger.users):
        ledger.breaks("leak", "a request is still in the air")
