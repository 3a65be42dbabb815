"""Typed events of the taxonomy taxonomy.json.

Made by `dfinery typegen`: change the taxonomy and make it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from dfinery_async import TypedEvent, TypedItem, TypedProfile
from msgspec import UNSET, UnsetType, field

__all__ = [
    "DfAddPaymentInfo",
    "DfAddToCart",
    "DfAddToWishlist",
    "DfGender",
    "DfLogin",
    "DfLogout",
    "DfPurchase",
    "DfRefund",
    "DfRemoveCart",
    "DfShareProduct",
    "DfSignUp",
    "DfViewCart",
    "DfViewHome",
    "DfViewList",
    "DfViewProductDetails",
    "DfViewSearchResult",
    "Item",
    "UserProperties",
]

DfGender: TypeAlias = Literal["Male", "Female", "NonBinary", "Other"]


class Item(TypedItem, frozen=True, kw_only=True):
    """Product of an event."""

    df_item_id: str | None = None
    """Id of the product."""
    df_item_name: str | None = None
    """Name of the product."""
    df_price: float | None = None
    """Price of one."""
    df_quantity: int | None = None
    """How many."""
    df_discount: float | None = None
    """Discount on the product."""
    df_category1: str | None = None
    """Category of the product, level 1."""
    df_category2: str | None = None
    """Category of the product, level 2."""
    df_category3: str | None = None
    """Category of the product, level 3."""
    df_category4: str | None = None
    """Category of the product, level 4."""
    df_category5: str | None = None
    """Category of the product, level 5."""


class DfLogin(TypedEvent, frozen=True, kw_only=True):
    """User logs in."""

    event_name: ClassVar[str] = "df_login"


class DfLogout(TypedEvent, frozen=True, kw_only=True):
    """User logs out."""

    event_name: ClassVar[str] = "df_logout"


class DfSignUp(TypedEvent, frozen=True, kw_only=True):
    """User registers as a member.

    The vendor's SDKs ask for df_sign_channel.
    """

    event_name: ClassVar[str] = "df_sign_up"

    df_sign_channel: str | None = None
    """How the user signed up; free text, such as Apple."""


class DfPurchase(TypedEvent, frozen=True, kw_only=True):
    """User pays for products.

    The vendor's SDKs ask for df_items, df_order_id, df_payment_method,
    df_total_purchase_amount, df_delivery_charge.
    """

    event_name: ClassVar[str] = "df_purchase"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""
    df_order_id: str | None = None
    """Id of the order."""
    df_payment_method: str | None = None
    """How it was paid; free text, such as card."""
    df_total_purchase_amount: float | None = None
    """What was paid in all."""
    df_delivery_charge: float | None = None
    """What the delivery cost."""
    df_discount: float | None = None
    """Discount on the order."""


class DfRefund(TypedEvent, frozen=True, kw_only=True):
    """Order cancelled or refunded.

    The vendor's SDKs ask for df_items, df_total_refund_amount.
    """

    event_name: ClassVar[str] = "df_refund"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""
    df_total_refund_amount: float | None = None
    """What was paid back in all."""


class DfViewHome(TypedEvent, frozen=True, kw_only=True):
    """User opens the home screen."""

    event_name: ClassVar[str] = "df_view_home"


class DfViewProductDetails(TypedEvent, frozen=True, kw_only=True):
    """User opens a product page.

    The vendor's SDKs ask for df_items.
    """

    event_name: ClassVar[str] = "df_view_product_details"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""


class DfAddToCart(TypedEvent, frozen=True, kw_only=True):
    """User puts a product into the cart.

    The vendor's SDKs ask for df_items.
    """

    event_name: ClassVar[str] = "df_add_to_cart"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""


class DfAddToWishlist(TypedEvent, frozen=True, kw_only=True):
    """User marks a product as of interest.

    The vendor's SDKs ask for df_items.
    """

    event_name: ClassVar[str] = "df_add_to_wishlist"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""


class DfViewSearchResult(TypedEvent, frozen=True, kw_only=True):
    """User searches for products.

    The vendor's SDKs ask for df_items, df_keyword.
    """

    event_name: ClassVar[str] = "df_view_search_result"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""
    df_keyword: str | None = None
    """What was searched for."""


class DfShareProduct(TypedEvent, frozen=True, kw_only=True):
    """User shares a product.

    The vendor's SDKs ask for df_items, df_sharing_channel.
    """

    event_name: ClassVar[str] = "df_share_product"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""
    df_sharing_channel: str | None = None
    """Where it was shared; free text, such as Kakao."""


class DfViewList(TypedEvent, frozen=True, kw_only=True):
    """User views a product list.

    The vendor's SDKs ask for df_items.
    """

    event_name: ClassVar[str] = "df_view_list"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""


class DfViewCart(TypedEvent, frozen=True, kw_only=True):
    """User views the cart.

    The vendor's SDKs ask for df_items.
    """

    event_name: ClassVar[str] = "df_view_cart"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""


class DfRemoveCart(TypedEvent, frozen=True, kw_only=True):
    """User removes a product from the cart.

    The vendor's SDKs ask for df_items.
    """

    event_name: ClassVar[str] = "df_remove_cart"

    items: Sequence[Item] | None = field(default=None, name="df_items")
    """Products of the event, at most 100."""


class DfAddPaymentInfo(TypedEvent, frozen=True, kw_only=True):
    """User enters payment information."""

    event_name: ClassVar[str] = "df_add_payment_info"


class UserProperties(TypedProfile, frozen=True, kw_only=True):
    """Properties of a user."""

    df_name: str | UnsetType | None = UNSET
    """Name of the user."""
    df_gender: DfGender | UnsetType | None = UNSET
    """Gender."""
    df_birth: str | UnsetType | None = UNSET
    """Day of birth, yyyy-MM-dd."""
    df_membership: str | UnsetType | None = UNSET
    """Level of membership."""
    df_push_optin: bool | UnsetType | None = UNSET
    """Consent to informational push; deprecated by the vendor."""
    df_push_ads_optin: bool | UnsetType | None = UNSET
    """Consent to advertising push."""
    df_sms_ads_optin: bool | UnsetType | None = UNSET
    """Consent to advertising SMS."""
    df_kakao_ads_optin: bool | UnsetType | None = UNSET
    """Consent to advertising Kakao messages."""
    df_push_night_ads_optin: bool | UnsetType | None = UNSET
    """Consent to advertising push from 21:00 to 08:00."""
