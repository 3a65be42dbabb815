"""The emulator's page as people use it: `nox -s page`. Without a Chromium, or selenium, these tests say so and skip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chromium import chromium, missing
from page_kit import CONTRAST, NAMELESS, SIZES, THEMES, Browser, event, send
from selenium_keys import ENTER, ESCAPE, RIGHT, SPACE

from dfinery_async.emulator import Emulator, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
EVERYWHERE = [(size, theme) for size in SIZES for theme in THEMES]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    driver = chromium(tmp_path_factory.mktemp("chromium"))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def rows(browser: Browser) -> list[str]:
    return [str(each.text) for each in browser.all("#list .row")]


def fill(emulator: Emulator) -> None:
    """Something of each kind."""
    send(emulator, event("df_login"), event("df_purchase", event_items=[{"df_item_id": "SKU-9"}]))
    send(emulator, event("df_refund", event_datetime="yesterday", event_properties={"n": 2**63}), external_id="u2")
    emulator.inject(Fault("status", times=1))
    send(emulator, event(), external_id="u3")
    emulator.inject(Fault("throttle", times=1))
    send(emulator, event(), external_id="u4")
    emulator.inject(Fault("latency", seconds=0.001))


def test_an_empty_page_says_how_to_begin(browser: Browser, emulator: Emulator) -> None:
    browser.open(emulator.base_url)

    assert "No request has come yet" in browser.text("#list")
    assert f"export DFINERY_IMPORT_TOKEN={emulator.import_token}" in browser.text("#list")
    assert browser.text("#address") == emulator.base_url


def test_what_comes_is_there_by_itself(browser: Browser, emulator: Emulator) -> None:
    browser.open(emulator.base_url)
    fill(emulator)

    browser.until(lambda: len(rows(browser)) == 4)
    first, second, third, last = rows(browser)
    assert ("u4" in first, "throttled" in first, "40401" in first) == (True, True, True)
    assert ("failed" in second, "status" in second) == (True, True)
    assert ("refused" in third, "2 fields" in third, "df_refund" in third) == (True, True, True)
    assert ("accepted" in last, "2 events" in last, "1 item" in last) == (True, True, True)
    assert browser.messages() == []


def test_lists_filters_and_search(browser: Browser, emulator: Emulator) -> None:
    fill(emulator)
    browser.open(emulator.base_url)
    browser.choose("#filters .refused")
    browser.until(lambda: len(rows(browser)) == 1)
    browser.choose("#tab-events")
    browser.until(lambda: len(rows(browser)) == 2)
    browser.one("#search").send_keys("sku-9")
    browser.until(lambda: len(rows(browser)) == 1 and "df_purchase" in rows(browser)[0])
    browser.one("#tab-events").send_keys(RIGHT)
    browser.until(lambda: browser.text("#list") == "No profile fits.")
    browser.one("#search").clear()
    browser.one("#search").send_keys("U1")
    browser.until(lambda: len(rows(browser)) == 1)


def test_a_refused_request_is_explained(browser: Browser, emulator: Emulator) -> None:
    fill(emulator)
    browser.open(emulator.base_url)
    browser.one(".row.refused").send_keys(ENTER)
    shown = browser.one(".wrong").text

    assert "What is wrong: 2 fields" in shown
    assert "events[0].event_datetime" in shown
    assert "9223372036854775808" in shown
    assert [each.text for each in browser.all(".line.bad")] == [
        '"event_datetime": "yesterday",',
        '"n": 9223372036854775808',
    ]
    browser.one("dialog .close").send_keys(ESCAPE)
    browser.until(lambda: not browser.run("return document.getElementById('details').open"))
    assert browser.run("return document.activeElement.classList.contains('refused')")


def test_from_an_event_to_its_profile_and_its_request(browser: Browser, emulator: Emulator) -> None:
    send(emulator, event("df_login"), event("df_purchase"))
    browser.open(emulator.base_url)
    browser.choose("#tab-events")
    browser.choose(".row.events")
    browser.choose(".link-button")
    browser.until(lambda: "Profile" in browser.text("#details-title"))
    browser.choose("dialog .row.events")
    browser.until(lambda: browser.text("#details-title") == "df_purchase")
    next(each for each in browser.all("dialog button") if each.text == "Find its request").click()

    browser.until(lambda: "2 events" in rows(browser)[0])


def test_faults_are_switched_by_keyboard(browser: Browser, emulator: Emulator) -> None:
    browser.open(emulator.base_url)
    browser.one("#fault-latency").send_keys(SPACE)
    browser.until(lambda: [str(each.fault) for each in emulator._board.handles] == ["latency=50ms"])
    browser.until(lambda: browser.text("#fault-hint") == "1 on")
    value = browser.one("#fault-latency-value")
    value.clear()
    value.send_keys("70", ENTER)
    browser.until(lambda: [str(each.fault) for each in emulator._board.handles] == ["latency=70ms"])
    browser.one("#fault-latency").send_keys(SPACE)
    browser.until(lambda: emulator._board.handles == ())
    browser.one("#other").send_keys("flood=1%", ENTER)
    browser.until(lambda: "expected one of" in browser.text("#other-error"))
    browser.one("#other").clear()
    browser.one("#other").send_keys("hang=1%,family=events", ENTER)
    browser.choose("#others button")
    browser.until(lambda: browser.all("#others button") == [])

    assert emulator._board.handles == ()


def test_emptying_asks_once_more(browser: Browser, emulator: Emulator) -> None:
    send(emulator, event())
    browser.open(emulator.base_url)
    browser.choose("#empty")
    assert len(emulator.events) == 1
    browser.choose("#empty[data-asked]")
    browser.until(lambda: emulator.events == [])
    browser.until(lambda: "No request has come yet" in browser.text("#list"))


def test_a_pause_keeps_the_list_still(browser: Browser, emulator: Emulator) -> None:
    send(emulator, event())
    browser.open(emulator.base_url)
    browser.until(lambda: len(rows(browser)) == 1)
    browser.choose("#pause")
    send(emulator, event())
    browser.until(lambda: "2" in browser.text("#filters [data-key=all]"))
    assert len(rows(browser)) == 1
    browser.choose("#pause")
    browser.until(lambda: len(rows(browser)) == 2)


def test_what_callers_send_is_text_and_nothing_else(browser: Browser, emulator: Emulator) -> None:
    hostile = event(HOSTILE, event_properties={HOSTILE: HOSTILE}, event_items=[{HOSTILE: [HOSTILE]}])
    send(emulator, hostile, external_id=HOSTILE)
    send(emulator, {**hostile, "event_log_id": HOSTILE}, external_id=HOSTILE)
    browser.open(emulator.base_url)
    for tab in ("requests", "events", "profiles"):
        browser.choose(f"#tab-{tab}")
        browser.until(lambda: any(HOSTILE in row for row in rows(browser)))
        browser.choose("#list .row")
        browser.until(lambda: HOSTILE in browser.text("dialog") or "<img" in browser.text("dialog"))
        browser.choose("dialog .close")

    assert browser.run("return window.hit") is None
    assert [each for each in browser.all("img, script") if str(each.get_attribute("src")).endswith("/x")] == []
    assert browser.messages() == []


def test_tens_of_thousands_of_events_make_no_large_page(browser: Browser, emulator: Emulator) -> None:
    for number in range(300):
        send(emulator, *(event(event_properties={"n": place}) for place in range(100)), external_id=f"u{number}")
    browser.open(emulator.base_url)
    for tab in ("requests", "events", "profiles"):
        browser.choose(f"#tab-{tab}")
        browser.until(lambda: len(rows(browser)) == 50)
    browser.choose("#tab-events")
    browser.one("#search").send_keys("u7")
    browser.until(lambda: "u7" in rows(browser)[-1])
    browser.choose("#list .more button")
    browser.until(lambda: len(rows(browser)) == 100)

    assert browser.run("return document.querySelectorAll('*').length") < 3000


def test_an_emulator_that_has_ended_is_told(browser: Browser) -> None:
    emulator = Emulator().start()
    browser.open(emulator.base_url)
    emulator.stop()

    browser.until(lambda: browser.text("#link") == "the emulator does not answer")


@pytest.mark.parametrize(("size", "theme"), EVERYWHERE)
def test_it_can_be_read_everywhere(browser: Browser, emulator: Emulator, size: str, theme: str) -> None:
    fill(emulator)
    send(emulator, event(event_properties={"a" * 200: "b" * 200}), external_id="long-" * 30)
    browser.open(emulator.base_url, size, theme)
    browser.run("document.querySelectorAll('aside details').forEach((each) => { each.open = true; })")
    seen: dict[str, object] = {}
    for tab in ("events", "profiles", "requests"):
        browser.choose(f"#tab-{tab}")
        browser.until(lambda: rows(browser))
        seen[tab] = (browser.run(CONTRAST), browser.run(NAMELESS), sideways(browser))
    browser.choose(".row.refused")
    browser.one(".wrong")
    seen["details"] = (browser.run(CONTRAST), browser.run(NAMELESS), sideways(browser))

    assert seen == dict.fromkeys(seen, ([], [], 0))


def sideways(browser: Browser) -> object:
    """How far the page, or the panel, reaches beyond the window."""
    return browser.run(
        "return Math.max(0, ...[document.documentElement, document.querySelector('dialog .content')].filter(Boolean)"
        ".map((each) => each.scrollWidth - each.clientWidth))"
    )


def test_the_checks_see_what_is_hard_to_read(browser: Browser, emulator: Emulator) -> None:
    browser.open(emulator.base_url, "phone")
    browser.run(
        "const p = document.createElement('p'); p.textContent = 'x'.repeat(300); p.style.color = '#999';"
        "p.style.background = '#fff'; document.body.append(p, document.createElement('button'))"
    )

    assert browser.run(CONTRAST) != []
    assert browser.run(NAMELESS) == ["<button></button>"]
    assert sideways(browser) != 0
