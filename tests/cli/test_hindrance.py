"""Loads through which nothing gets: they say so, they end where that is of use, and Ctrl-C ends them soon."""

from __future__ import annotations

import json
import logging
import signal

import pytest
from cli_kit import event_file, start

from dfinery_async.cli import load_command
from dfinery_async.cli.hindrance import Hindrance
from dfinery_async.cli.output import tell_logs
from dfinery_async.emulator import Fault
from dfinery_async.errors import ServerError
from dfinery_async.models import Stats

BUSY = ServerError("busy", status=503)


def test_it_is_said_after_ten_seconds_without_a_success_and_then_once_a_minute(capsys):
    watched = Hindrance(0.0)
    watched.look(Stats(accepted=9, pending=9), None, 0.0, 9.0)  # what waits for more of its user is not hindered
    for now in range(9, 100):
        watched.look(Stats(accepted=9, pending=9), BUSY, 0.0, float(now))
    first, second = capsys.readouterr().err.splitlines()

    assert first == (
        "dfinery: delivery is hindered: nothing has got through for 10 s: busy (HTTP 503); still trying, Ctrl-C ends it"
    )
    assert "for 70 s" in second


def test_a_success_or_a_refusal_begins_it_anew(capsys):
    watched = Hindrance(0.0)
    for now, settled in ((5.0, 0), (14.0, 1), (23.0, 2)):
        watched.look(Stats(pending=9, delivered=min(settled, 1), rejected=settled // 2), BUSY, 0.0, now)
    assert capsys.readouterr().err == ""
    assert not watched.stuck(Stats(), 32.0)
    assert watched.stuck(Stats(), 33.0)


def test_what_the_library_logs_stands_under_the_commands_name(capsys, monkeypatch):
    log = logging.getLogger("dfinery_async")
    monkeypatch.setattr(log, "handlers", [])
    tell_logs()
    logging.getLogger("dfinery_async.producer").warning("delivery is %s", "hindered")

    assert capsys.readouterr().err == "dfinery: delivery is hindered\n"


@pytest.mark.parametrize(
    ("stats", "wait", "why"),
    [
        (Stats(pending=1, state="throttled"), 30.0, "the quota is used up until "),
        (Stats(pending=1, silent_for=12.0), 0.0, "no answer yet"),
    ],
)
def test_the_reason_without_an_error(capsys, stats, wait, why):
    Hindrance(0.0).look(stats, None, wait, 10.0)

    assert why in capsys.readouterr().err


def test_silence_from_before_the_interruption_counts(capsys):
    watched = Hindrance(0.0)
    watched.interrupted(20.0)
    assert "until nothing has got through for 10 s; press Ctrl-C again" in capsys.readouterr().err
    assert not watched.stuck(Stats(silent_for=1.0), 21.0)
    assert watched.stuck(Stats(silent_for=11.0), 21.0)
    assert watched.stuck(Stats(), 30.0)


def test_a_web_page_for_thirty_seconds_is_unreachable(dfinery, emulator, tmp_path, monkeypatch):
    monkeypatch.setattr(load_command, "GIVE_UP_AFTER", 0.3)
    emulator.inject(Fault("html"))
    code, output, errors = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 20), "--json")

    assert (code, json.loads(output)["dropped"]) == (4, 20)
    assert "no answer from the API within 0.3 s: the answer is not the API's" in errors


def test_no_answer_at_all_has_a_reason(dfinery, emulator, tmp_path, monkeypatch):
    monkeypatch.setattr(load_command, "GIVE_UP_AFTER", 0.3)
    emulator.inject(Fault("hang"))
    code, _, errors = dfinery("load", "events", event_file(tmp_path / "e.jsonl", 20))

    assert code == 4
    assert "within 0.3 s: requests were sent, and nothing has come back;" in errors


@pytest.mark.parametrize("answer", [Fault("status", status=503), Fault("hang")])
def test_one_interrupt_ends_a_load_that_nothing_gets_through(emulator, tmp_path, answer):
    emulator.inject(answer)
    file = event_file(tmp_path / "e.jsonl", 20)
    soon = "from dfinery_async.cli import hindrance; hindrance._DRAIN = 0.3; hindrance._TELL_AFTER = 0.1"
    with start("load", "events", str(file), "--json", env=emulator.environment, before=soon) as process:
        assert "delivery is hindered: nothing has got through for" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "until nothing has got through for 0.3 s; press Ctrl-C again" in process.stderr.readline()
        assert process.stderr.readline().startswith("dfinery: nothing has got through for ")
        report = json.loads(process.stdout.read())

    assert process.returncode == 130
    assert (report["delivered"], report["dropped"]) == (0, 20)
