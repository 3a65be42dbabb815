"""Draws the pictures of docs/_static: the emulator's page during a load of the demo's purchases with faults on.

Run by `nox -s page -- --pictures`. Its text is set in Inter and JetBrains Mono where these are installed.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from chromium import chromium
from page_kit import THEMES, Browser, event, send
from PIL import Image

from dfinery_async import DfineryClient
from dfinery_async.cli.purchases import read_purchases
from dfinery_async.emulator import Emulator, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = Path(__file__).parents[2] / "docs" / "_static"
FAULTS = ("latency=20ms", "5xx=5%", "lost_answer=2%", "poison=cdnow-00100")
QUOTA = {"events": "350/5s"}
REQUESTS_BEFORE_THE_FIRST = 900
COLORS = 256  # enough for this page, in a third of the bytes


async def load(emulator: Emulator) -> None:
    async with DfineryClient(
        emulator.service_id, import_token=emulator.import_token, base_url=emulator.base_url
    ) as client:
        await client.load(purchase.event(number) for number, purchase in enumerate(read_purchases(), 1))


def send_a_bad_one(emulator: Emulator) -> None:
    wrong = event(
        "df_purchase",
        event_datetime="2025-03-02 04:15:41",
        event_properties={"df_order_id": "O-17", "df_total_purchase_amount": 2**63, "df_gift_cards": [True, False]},
        event_items=[{"df_item_id": "SKU-9", "df_item_name": "mug", "df_price": {"amount": 9500}}],
    )
    member = {"external_id": "member-00417"}
    while not any(record.outcome == "refused" and record.identity == member for record in emulator.requests):
        send(emulator, event("df_login"), wrong, **member)


def draw(browser: Browser, emulator: Emulator) -> None:
    browser.until(lambda: len(emulator.requests) > REQUESTS_BEFORE_THE_FIRST)
    send_a_bad_one(emulator)
    for theme in THEMES:
        shots: dict[str, tuple[str, Callable[[], object]]] = {
            "page": ("desktop", lambda: None),
            "refused": ("desktop", lambda: open_the_bad_one(browser)),
            "phone": ("phone", lambda: browser.run("document.querySelector('.lists').scrollIntoView()")),
        }
        for name, (size, prepare) in shots.items():
            browser.open(emulator.base_url, size, theme, scale=2 if size == "phone" else 1.5)
            browser.until(lambda: browser.all("#list .row"))
            prepare()
            shot = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
            shot.quantize(COLORS, kmeans=1, dither=Image.Dither.NONE).save(
                IMAGES / f"emulator-{name}.{theme}.png", optimize=True
            )


def open_the_bad_one(browser: Browser) -> None:
    browser.one("#search").send_keys("member-00417")
    browser.until(lambda: any("refused" in row.text for row in browser.all("#list .row")))
    browser.choose(".row.refused")
    browser.one(".wrong")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with Emulator(quota=QUOTA) as emulator, tempfile.TemporaryDirectory() as profile:
        for fault in FAULTS:
            emulator.inject(Fault.parse(f"{fault},family=events"))
        loading = threading.Thread(target=lambda: asyncio.run(load(emulator)), daemon=True)
        loading.start()
        driver = chromium(Path(profile))
        try:
            draw(Browser(driver), emulator)
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
