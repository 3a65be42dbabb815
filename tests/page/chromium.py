"""Starts a headless Chromium, Debian's `chromium` and `chromium-driver`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "no-first-run",
    "no-proxy-server",
    "hide-scrollbars",
)


def missing() -> str | None:
    """Say what is missing to start one."""
    try:
        import selenium  # noqa: PLC0415, F401  # a package of `nox -s page` alone
    except ImportError:
        return "run by `nox -s page`, which installs selenium"
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        return "no Chromium: on Debian, apt-get install chromium chromium-driver"
    return None


def chromium(profile: Path) -> Any:
    """Start one with a profile of its own; `quit()` ends it."""
    from selenium import webdriver  # noqa: PLC0415  # see above

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
