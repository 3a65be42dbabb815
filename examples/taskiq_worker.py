"""A Taskiq worker: one client and one producer for each worker process, for as long as it runs.

    taskiq worker taskiq_worker:broker

The broker here keeps tasks in memory, so that the example runs alone; put your own in its place.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from taskiq import Context, InMemoryBroker, TaskiqDepends, TaskiqEvents, TaskiqState

from dfinery_async import DfineryClient, Event, Producer

broker = InMemoryBroker()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    state.client = DfineryClient.from_env()
    state.producer = state.client.producer()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop(state: TaskiqState) -> None:
    report = await state.producer.aclose(timeout=20)
    await state.client.aclose()
    print(f"{report.delivered} of {report.accepted} delivered")


def held(context: Annotated[Context, TaskiqDepends()]) -> Producer:
    producer: Producer = context.state.producer
    return producer


ProducerDep: TypeAlias = Annotated[Producer, TaskiqDepends(held)]


@broker.task
async def place_order(user: str, order_id: str, amount: float, dfinery: ProducerDep) -> str:
    properties = {"df_order_id": order_id, "df_total_purchase_amount": amount}
    receipt = await dfinery.track(user, Event("df_purchase", properties=properties))
    delivery = await receipt  # the task has succeeded when the event was delivered; leave this out to be done sooner
    return delivery.status
