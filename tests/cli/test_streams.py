"""Standard streams that are closed, full or gone, and Ctrl-C at odd moments: never a traceback."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from cli_kit import COMMAND, environment, event_file, start

from dfinery_async import cli

FULL = "no space left on device"
CLOSED = "bad file descriptor"


def shell(redirection, *arguments):
    """Run a command of a shell: its exit code, what it printed, and what it said on standard error."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("redirection", "reason"), [(">/dev/full", FULL), (">&-", CLOSED)])
@pytest.mark.parametrize("command", [["--version"], ["plan"], ["plan", "--json"], ["load", "--help"]], ids=str)
def test_what_can_not_be_printed_ends_the_command(tmp_path, redirection, reason, command):
    file = event_file(tmp_path / "e.jsonl", 3)
    arguments = [*command, file] if "plan" in command else command

    assert shell(redirection, *arguments) == (1, "", f"dfinery: standard output can't be written: {reason}\n")


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_what_can_not_be_said_is_lost(redirection):
    assert shell(redirection, "--version")[::2] == (0, "")
    assert shell(redirection, "lod") == (2, "", "")
    assert shell(f"{redirection} >&-", "--version") == (1, "", "")


def test_standard_input_that_is_closed():
    message = "standard input: can't be read: bad file descriptor"
    code, output, errors = shell("<&-", "plan", "-", "--json")

    assert (code, json.loads(output)) == (2, {"error": message, "exit": 2})
    assert errors == f"dfinery: {message}\n"


def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path):
    code, _, errors = shell("<&- >&- 2>&-", "plan", event_file(tmp_path / "e.jsonl", 3))

    assert (code, errors) == (1, "")


def test_an_interrupt_while_modules_are_loaded():
    before = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'cyclopts': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    with start("--version", before=before) as process:
        output, errors = process.communicate()

    assert (process.returncode, output, errors) == (130, "", "")


def test_an_interrupt_of_a_command_that_waits_for_nothing():
    before = (
        "import os, signal; from dfinery_async.cli import app\napp.run = lambda: os.kill(os.getpid(), signal.SIGINT)"
    )
    with start(before=before) as process:
        output, errors = process.communicate()

    assert (process.returncode, output, errors) == (130, "", "")


def test_an_interrupt_that_is_to_be_ignored_is_ignored():
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from dfinery_async.cli import main\n"
        "try: main()\n"
        "finally: assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        env=environment(), check=False, capture_output=True,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupt_at_the_end_is_quiet(monkeypatch):
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    cli._end(signal.SIGINT, None)

    assert codes == [130]


def test_an_interrupt_at_the_question_of_drop(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "spool", "drop", str(tmp_path)],
        env=environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    with process:
        assert process.stderr is not None
        question = process.stderr.readline()
        assert b"Throw them away?" in question
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() in {b"", question}  # which is written once more when it is cut in its writing
    os.close(ours)
    assert process.returncode == 130
