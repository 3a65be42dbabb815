"""What all tests are run with: a watch over what they make the library tell (tests/canary.py)."""

import asyncio

pytest_plugins = ["canary", "pytester"]


def pytest_configure() -> None:
    """Begin without an event loop of the thread, as it is after any `asyncio.run`.

    Before its first test pytest-asyncio asks for that loop. Without this line that makes one which nobody closes; the
    first `asyncio.run` in a test drops it, and the warning lands in whichever test the collector happens to run.
    """
    asyncio.set_event_loop(None)
