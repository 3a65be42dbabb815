"""The browser as the page's tests and its pictures use it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from dfinery_async.emulator import Emulator

SIZES = {"desktop": (1360, 860), "phone": (390, 844)}
THEMES = ("light", "dark")
WAIT_SECONDS = 20

# Text that people can read, with the contrast to what is below it; worse than WCAG's 4.5 to 1 is told.
CONTRAST = """
const parts = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = parts(color).map((value) => linear(value / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    const alpha = parts(color)[3];
    if (alpha === undefined || alpha === 1) return color;
  }
  return "rgb(255, 255, 255)";
};
const bad = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (!text || !element.checkVisibility() || element.closest(":disabled, .away, .skip, noscript")) continue;
  const style = getComputedStyle(element);
  const [one, two] = [light(style.color), light(ground(element))].sort((a, b) => b - a);
  const contrast = (one + 0.05) / (two + 0.05);
  if (contrast < 4.5) bad.push(`${element.tagName}.${element.className} "${text}": ${contrast.toFixed(2)}`);
}
return bad;
"""

NAMELESS = """
const named = (e) => (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent
  || document.getElementById(e.getAttribute("aria-labelledby") || "-")?.textContent || "").trim();
return [...document.querySelectorAll("button, input, [role=meter], [role=img], dialog, summary")]
  .filter((e) => e.checkVisibility() && !named(e)).map((e) => e.outerHTML);
"""


class Browser:
    """A Chromium that waits for what the page does."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, size: str = "desktop", theme: str = "light", scale: float = 1) -> None:
        """Open a page as on a device of that size, in that theme, when it is live."""
        width, height = SIZES[size]
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": size == "phone"},
        )
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.messages()  # those of the page before
        self.driver.get(address)
        self.until(lambda: self.text("#link") == "live")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something that the page does by itself."""
        from selenium.common.exceptions import StaleElementReferenceException  # noqa: PLC0415  # may be missing
        from selenium.webdriver.support.ui import WebDriverWait  # noqa: PLC0415

        patience = WebDriverWait(self.driver, WAIT_SECONDS, 0.05, ignored_exceptions=[StaleElementReferenceException])
        return patience.until(lambda _: condition())

    def all(self, selector: str) -> list[Any]:
        """The elements that fit."""
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        """The first element that fits, as soon as it is there and seen."""
        return self.until(lambda: next((each for each in self.all(selector) if each.is_displayed()), None))

    def text(self, selector: str) -> str:
        """The text that an element shows."""
        return str(self.driver.find_element("css selector", selector).text)

    def choose(self, selector: str) -> None:
        """Click."""
        self.one(selector).click()

    def messages(self) -> list[str]:
        """What the browser complains about."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def event(name: str = "df_login", **fields: Any) -> dict[str, Any]:
    made = {"event_log_id": str(uuid.uuid4()), "event_name": name, "event_datetime": "2025-03-02T04:15:41.007Z"}
    return {**made, **fields}


def send(emulator: Emulator, *events: dict[str, Any], **identity: str) -> None:
    """Send events with a plain client, whatever becomes of them."""
    httpx.post(
        f"{emulator.base_url}/api/v1/events",
        params={"service_id": emulator.service_id},
        headers={"access_token": emulator.import_token},
        json={"common": {"identity": identity or {"external_id": "u1"}}, "events": list(events)},
        trust_env=False,
    )
