"""A load as a process of its own: standard input, interrupts, and progress on a terminal."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from cli_kit import books, event_file, event_line, on_a_terminal, start

from dfinery_async.emulator import Fault


def test_standard_input(emulator):
    process = start("load", "events", "-", "--json", env=emulator.environment)
    output, errors = process.communicate((event_line(1) + event_line(2)).decode())

    assert (process.returncode, errors) == (0, "")
    assert books(output)["delivered"] == 2


def start_reading(emulator):
    """Start a load of standard input, and return once it has read an event and, which it says, a bad line."""
    process: Any = start("load", "events", "-", "--json", env=emulator.environment)
    process.stdin.write(event_line(1).decode() + "bad\n")
    process.stdin.flush()
    assert "standard input:2: is not valid JSON" in process.stderr.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_sends_what_was_read(emulator, number):
    with start_reading(emulator) as process:
        process.send_signal(number)
        assert "press Ctrl-C again" in process.stderr.readline()
        report = books(process.stdout.read())

    assert process.returncode == 130
    assert (report["delivered"], report["unreadable"]) == (1, 1)


def test_an_interrupt_after_the_reading_is_one_too(emulator):
    emulator.inject(Fault("latency", seconds=1.0))
    with start_reading(emulator) as process:
        process.stdin.close()
        process.send_signal(signal.SIGINT)
        assert "press Ctrl-C again" in process.stderr.readline()
        report = books(process.stdout.read())

    assert process.returncode == 130
    assert report["delivered"] == 1


def test_two_interrupts_stop_at_once(emulator):
    emulator.inject(Fault("hang"))
    with start_reading(emulator) as process:
        process.send_signal(signal.SIGINT)
        assert "press Ctrl-C again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        report = books(process.stdout.read())

    assert process.returncode == 130
    assert (report["delivered"], report["dropped"], report["requests"]) == (0, 1, 1)


@pytest.mark.parametrize("columns", [40, 80, 120, 140])
def test_progress_on_a_terminal(emulator, tmp_path, columns):
    file = event_file(tmp_path / "a\x1b[31mred.jsonl", 50)
    code, drawn = on_a_terminal(columns, emulator.environment, "load", "events", str(file))

    text = "\n".join(drawn)
    assert code == 0
    assert "31mred" in text
    assert re.search(r"delivered 50  [\d,]+/s  rejected 0", text)
    assert re.search(r"requests \d+  [\d,]+/s  throttled 0", text)
    assert "100%" in text
    assert max(map(len, drawn)) <= columns


@pytest.mark.parametrize("columns", [80, 120])
def test_progress_while_the_quota_is_waited_for(emulator, tmp_path, columns):
    emulator.inject(Fault("throttle", seconds=0.5, times=1))
    file = event_file(tmp_path / "e.jsonl", 50)
    code, drawn = on_a_terminal(columns, emulator.environment, "load", "events", str(file))

    waiting = [line.rstrip() for line in drawn if "waiting" in line]
    form = re.compile(r"waiting: the quota is used up( until (\S+ )?\d\d:\d\d:\d\d, in 0:00:0\d)?")
    assert code == 0
    assert waiting
    assert [line for line in waiting if form.fullmatch(line) is None] == []
    assert "until" in waiting[0]
    assert max(map(len, drawn)) <= columns
