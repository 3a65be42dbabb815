"""What all tests are run with: a watch over what they make the library tell (tests/canary.py)."""

import asyncio

from hypothesis import HealthCheck, settings

pytest_plugins = ["canary", "pytester"]


# No test depends on speed: on a busy machine hypothesis would fail examples that take long to run or to make.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", settings.get_profile("patient"), max_examples=20)
settings.load_profile("patient")


def pytest_configure() -> None:
    """Begin without an event loop of the thread, as it is after any `asyncio.run`.

    Before its first test pytest-asyncio asks for that loop. Without this line that makes one which nobody closes; the
    first `asyncio.run` in a test drops it, and the warning lands in whichever test the collector happens to run.
    """
    asyncio.set_event_loop(None)
