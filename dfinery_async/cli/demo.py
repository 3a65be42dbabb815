"""`dfinery demo`: real purchases to an emulator and back, without an account."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dfinery_async.cli.emulate import started
from dfinery_async.cli.exits import Exit
from dfinery_async.cli.interrupts import interruptible, run
from dfinery_async.cli.output import print_json, show, show_progress
from dfinery_async.cli.progress import ProgressView
from dfinery_async.cli.purchases import Purchase, read_purchases
from dfinery_async.cli.settings import NO_SERVICE, JsonFlag, UnusedService
from dfinery_async.client import DfineryClient
from dfinery_async.emulator import Emulator

if TYPE_CHECKING:
    from dfinery_async.models import Event, Identity, Report, Stats

__all__ = ["demo"]

_SEOUL = dt.timezone(dt.timedelta(hours=9))


def demo(*, json: JsonFlag = False, _service: UnusedService = NO_SERVICE) -> Exit:
    """Take the whole tour on an emulator: no account, no network.

    Loads 6,919 real purchases of an online shop, exports them again, compares
    the two row by row, and ends with 1 if they don't agree.
    """
    return run(interruptible(lambda: _tour(as_json=json)))


class _Tour:
    """What the demo found out."""

    def __init__(self, purchases: Sequence[Purchase], report: Report) -> None:
        self.purchases = purchases
        self.report = report
        self.exported = 0
        self.agreed = 0
        self.calls = 0
        self.seconds = 0.0

    @property
    def good(self) -> bool:
        return self.report.delivered == self.exported == self.agreed == len(self.purchases)


async def _tour(*, as_json: bool) -> Exit:
    purchases = list(read_purchases())
    wanted = show_progress(as_json=as_json)
    # The purchases keep their true days, so the rule that exports reach back 30 days is lifted.
    async with (
        started(Emulator(export_days=None, keep_bodies=False)) as emulator,
        DfineryClient(
            emulator.service_id,
            import_token=emulator.import_token,
            export_token=emulator.export_token,
            base_url=emulator.base_url,
        ) as client,
    ):
        with ProgressView("loading", wanted=wanted) as view:
            report = await client.load(_events(purchases), progress=_progress(view, len(purchases)), linger=0.05)
        tour = _Tour(purchases, report)
        with ProgressView("exporting", wanted=wanted) as view:
            await _export(client, tour, view)
        tour.calls = sum(request.family == "exports" for request in emulator.requests)
    if as_json:
        figures = report.to_dict()
        names = (
            "accepted",
            "delivered",
            "rejected",
            "dropped",
            "spooled",
            "pending",
            "requests",
            "retries",
            "throttled",
        )
        counts = {name: figures[name] for name in names}
        print_json({**counts, "seconds": round(report.seconds, 3), "exported": tour.exported, "agreed": tour.agreed})
    else:
        _print(tour)
    return Exit.OK if tour.good else Exit.INCOMPLETE


def _events(purchases: Sequence[Purchase]) -> Iterator[tuple[Identity, Event]]:
    for number, purchase in enumerate(purchases, start=1):
        yield purchase.event(number)


def _progress(view: ProgressView, total: int) -> Any:
    def show(stats: Stats) -> None:
        view.show(
            stats.delivered / total,
            {"delivered": stats.delivered, "requests": stats.requests},
            f"delivered {stats.delivered:,}  {{delivered}}\nrequests {stats.requests:,}  {{requests}}",
        )

    return show


async def _export(client: DfineryClient, tour: _Tour, view: ProgressView) -> None:
    begin = time.monotonic()
    customers: dict[str, str] = {}
    async with client.export_profiles(identities=True) as profiles:
        async for row in profiles:
            customers[row["df_unified_id"]] = row["df_external_id"]
    expected = {purchase.log_id: purchase for purchase in tour.purchases}
    days = [purchase.moment.astimezone(_SEOUL).date() for purchase in tour.purchases]
    async with client.export_events(min(days), max(days), events=["df_purchase"]) as export:
        async for row in export:
            tour.exported += 1
            purchase = expected.pop(row["df_event_log_id"].rpartition(":")[2], None)
            tour.agreed += purchase is not None and _agrees(purchase, row, customers)
            if tour.exported % 500 == 0:
                view.show(tour.exported / len(days), {"rows": tour.exported}, f"rows {tour.exported:,}  {{rows}}")
    tour.seconds = time.monotonic() - begin


def _agrees(purchase: Purchase, row: Mapping[str, Any], customers: Mapping[str, str]) -> bool:
    return (
        customers.get(row["df_unified_id"]) == purchase.customer
        and row["df_event_datetime"] == purchase.moment
        and row["df_total_purchase_amount"] == purchase.dollars
        and row["df_items_df_quantity"] == purchase.cds
    )


def _print(tour: _Tour) -> None:
    purchases, report = tour.purchases, tour.report
    total = len(purchases)
    customers = len({purchase.customer for purchase in purchases})
    dollars = sum(round(purchase.dollars * 100) for purchase in purchases) / 100
    each = report.delivered / max(1, report.requests)
    rate = report.delivered / report.seconds if report.seconds else 0.0
    show("Real purchases of an online shop for CDs, 1997 to 1998:")
    show("sent to an emulator of the API on this machine, exported again, and compared.")
    show("")
    for name, figure, note in (
        ("purchases", total, f"by {customers:,} customers, worth ${dollars:,.2f}"),
        (
            "delivered",
            report.delivered,
            f"in {report.requests:,} requests of {each:.1f} each; {report.retries:,} repeated",
        ),
        ("", "", f"in {report.seconds:.2f} s, {rate:,.0f}/s"),
        ("exported", tour.exported, f"in {tour.calls:,} calls, {tour.seconds:.2f} s"),
        ("agreed", tour.agreed, "in id, customer, time, amount and quantity"),
    ):
        shown = figure if isinstance(figure, str) else f"{figure:,}"
        show(note, f"{name:<10}{shown:>8}  ")
    show("")
    if tour.good:
        show("What came back is what was sent.")
        show("Next: dfinery emulate, dfinery load events --help")
    else:
        show(f"What came back is not what was sent: {total - tour.agreed:,} purchases are missing or differ.")
