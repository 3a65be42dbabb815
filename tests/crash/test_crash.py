"""A slice of the crash campaigns (`nox -s crash`), and that their checks find what they are for."""

from __future__ import annotations

import os
import random
from pathlib import Path

import crash_kills
import crash_power
import pytest
from crash_power import Record

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def test_no_kill_loses_what_was_accepted(tmp_path: Path) -> None:
    found = crash_kills.dynasty(random.randrange(1 << 20), 12, place=tmp_path)

    assert found.kills == 12
    assert found.accepted > 50
    assert (found.lost, found.reordered) == (0, 0)


def test_a_kill_finds_what_is_accepted_before_it_is_written(tmp_path: Path) -> None:
    assert crash_kills.dynasty(7, 4, early=True, place=tmp_path).lost > 0


def test_no_power_cut_loses_what_was_accepted(tmp_path: Path) -> None:
    log = crash_power.record(3, "power")
    found = crash_power.check_images(log, 150, 3, tmp_path)

    assert (found.images, found.lost, found.corrupt) == (150, 0, 0)


def test_a_power_cut_finds_what_was_never_synced(tmp_path: Path) -> None:
    found = crash_power.check_images(crash_power.record(3, "process"), 100, 3, tmp_path)

    assert found.losing > 10
    assert found.corrupt == 0


def test_an_image_of_a_disk_that_lies_is_seen(tmp_path: Path) -> None:
    """Damage that no power cut makes: syncs that were none."""
    log = crash_power.record(3, "power")
    lying = Record()
    lying.steps = [step for step in log.steps if step[0] != "sync"]
    found = crash_power.check_images(lying, 100, 3, tmp_path)

    assert found.losing + found.corrupt > 10
