"""Typed events in use: what is right passes, and each slip is found (else its `ignore` would be unused, an error)."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
# mypy: warn-unused-ignores

from __future__ import annotations

from typing import assert_type

from standard_events import DfLogin, DfPurchase, Item, UserProperties

from dfinery_async import Event, Producer, TypedEvent


async def right(producer: Producer) -> None:
    """Make events and properties of users."""
    bought = DfPurchase(items=[Item(df_item_id="SKU-9", df_quantity=2)], df_total_purchase_amount=21000)
    assert_type(bought.event(), Event)
    assert_type(bought.df_order_id, str | None)
    some: TypedEvent = DfLogin()
    await producer.track("u1", some.event())
    await producer.set_profile("u1", UserProperties(df_gender="Female", df_name=None).to_dict())


def wrong() -> None:
    """Slips, each found."""
    DfPurchase(df_ordr_id="O-17")  # type: ignore[call-arg]
    DfPurchase(df_order_id=17)  # type: ignore[arg-type]
    Item(df_prise=9500)  # type: ignore[call-arg]
    UserProperties(df_gender="female")  # type: ignore[arg-type]
