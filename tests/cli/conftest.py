from __future__ import annotations

import os

import pytest

from dfinery_async.cli.app import run
from dfinery_async.emulator import Emulator


@pytest.fixture
def emulator(monkeypatch):
    with Emulator() as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("DFINERY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def dfinery(capfd):
    """Run a command in this process: its exit code, what it printed, and what it said on standard error."""

    def call(*arguments):
        capfd.readouterr()
        code = run([str(each) for each in arguments])
        output, errors = capfd.readouterr()
        return int(code), output, errors

    return call
