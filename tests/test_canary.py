"""The watch over what is told sees what it is there for: each way, with something in it that should not be."""

from __future__ import annotations

import logging
import warnings

import pytest
from canary import PERSONAL, Watch

from dfinery_async import DfineryError, InvalidInputError, Token
from dfinery_async.emulator import Emulator

LOG = logging.getLogger("dfinery_async.somewhere")


def log_message():
    LOG.warning("sent to %s", "kim@example.com")


def log_field():
    LOG.debug("sent", extra={"dfinery_user": "821055501234"})


def log_of_an_error():
    LOG.error("it failed", exc_info=KeyError("010-5550-1234"))


def error_that_is_caught():
    with pytest.raises(InvalidInputError):
        raise InvalidInputError("kim@example.com is no address", field="identity")


def error_that_nobody_raises():
    DfineryError("import-token-CANARY")


def emulators_token():
    LOG.info("a token: %s", Emulator().import_token)


def warning():
    with pytest.warns(ResourceWarning):
        warnings.warn("kim@example.com was not delivered", ResourceWarning, stacklevel=1)


LEAKS = [
    log_message,
    log_field,
    log_of_an_error,
    error_that_is_caught,
    error_that_nobody_raises,
    emulators_token,
    warning,
]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_what_leaks_is_seen(leak, canary):
    inner = Watch()
    with inner.on():
        leak()
    assert inner.found() != []
    canary.forget()


def test_what_goes_to_standard_error_is_seen(pytester):
    """The control: a suite like this one, with tests that pass and leak."""
    pytester.makeini("[pytest]")  # else the project's own settings count where the folder lies within it
    pytester.makeconftest('pytest_plugins = ["canary"]')
    pytester.makepyfile("""
        import sys

        def test_prints():
            print("kim@example.com", file=sys.stderr)

        def test_is_silent():
            print("kim@example.com", file=sys.stdout)
    """)
    result = pytester.runpytest("-p", "no:cacheprovider", "-p", "no:asyncio")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*told what nobody should be told*"])


def test_the_watch_lets_pass_what_may_be_told():
    inner = Watch()
    with inner.on():
        LOG.warning("dropped %d events of %s", 3, Token("import-token-CANARY"), extra={"dfinery_dropped": 3})
        DfineryError("properties.df_price: must be a number")
    assert inner.found() == []


@pytest.mark.parametrize("text", ["kim@example.com", "to=821055501234", "010-555-1234", "x-CANARY"])
def test_what_is_looked_for(text):
    assert PERSONAL.search(text)


@pytest.mark.parametrize("text", ["5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa", "1736127490036", "<number>", "@ 3"])
def test_what_is_not_taken_for_personal(text):
    assert not PERSONAL.search(text)
