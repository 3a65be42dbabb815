from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli_kit import ROOT, event_file, start

import dfinery_async
from dfinery_async.cli import demo
from dfinery_async.cli.exits import Exit, exit_of
from dfinery_async.errors import (
    ConfigError,
    ConnectionFailed,
    DateRangeExceeded,
    ExportInterrupted,
    InvalidInputError,
    InvalidServiceId,
    InvalidToken,
    RateLimited,
    UnexpectedResponse,
)

COMMANDS = [
    ["demo"],
    ["emulate"],
    ["load"],
    ["load", "events"],
    ["load", "identities"],
    ["load", "profiles"],
    ["plan"],
    ["doctor"],
    ["export"],
    ["export", "events"],
    ["export", "profiles"],
]


def test_the_version(dfinery):
    assert dfinery("--version") == (0, f"dfinery-async {dfinery_async.__version__}\n", "")


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_every_command_has_a_help_page_for_eighty_columns(dfinery, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    code, output, errors = dfinery(*command, "--help")

    assert (code, errors) == (0, "")
    assert output.startswith("Usage: dfinery")
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize("command", [["export", "events"], ["emulate"], ["demo"]], ids=" ".join)
def test_an_unknown_option_does_not_print_what_it_was_given(dfinery, command):
    code, output, errors = dfinery(*command, "--import-token=hunter2")

    assert (code, output) == (2, "")
    assert errors.startswith("dfinery: ")
    assert "hunter2" not in errors


def test_an_unknown_command_is_wrong_use(dfinery):
    code, _, errors = dfinery("lod")

    assert code == 2
    assert 'Did you mean "load"?' in errors


@pytest.mark.parametrize("command", ["load", "export", "spool"])
def test_a_group_of_commands_without_one_of_them_is_wrong_use(dfinery, command):
    code, output, errors = dfinery(command)

    assert (code, errors) == (2, "")
    assert (0, output, "") == dfinery(command, "--help")


SERVICE = ("--service-id", "x", "--base-url", "http://127.0.0.1:1", "--json")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["demo"], "agreed"),
        (["plan", "e.jsonl"], "requests"),
        (["spool", "status", "."], "units"),
        (["spool", "drop", ".", "--yes"], "dropped"),
        (["typegen", "t.json", "-o", "t.py"], "up_to_date"),
        (["doctor"], "checks"),
        (["emulate", "--port", "-1"], "error"),
        (["spool", "replay", "nowhere"], "error"),
        (["load", "events"], "error"),
        (["export", "profiles"], "error"),
    ],
)
def test_every_command_takes_the_same_options_of_a_service(dfinery, tmp_path, monkeypatch, arguments, name):
    monkeypatch.chdir(tmp_path)
    event_file(tmp_path / "e.jsonl", 1)
    (tmp_path / "t.json").write_text('{"events": [{"name": "a"}]}')
    code, output, _ = dfinery(*arguments, *SERVICE)

    assert name in json.loads(output)
    assert json.loads(output).get("exit", code) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), Exit.USAGE),
        (InvalidInputError("x"), Exit.USAGE),
        (InvalidToken(), Exit.UNAUTHORIZED),
        (InvalidServiceId(), Exit.UNAUTHORIZED),
        (ConnectionFailed("x"), Exit.UNREACHABLE),
        (UnexpectedResponse("x", status=404), Exit.UNREACHABLE),
        (UnexpectedResponse("x", status=200, retryable=True), Exit.UNREACHABLE),
        (RateLimited(), Exit.INCOMPLETE),
        (DateRangeExceeded(), Exit.INCOMPLETE),
        (ExportInterrupted(), Exit.INCOMPLETE),
    ],
)
def test_exit_codes_of_errors(error, code):
    assert exit_of(error) is code


def test_the_exit_code_of_an_error_that_ends_a_command(dfinery, monkeypatch):
    def fail(work):
        work.close()
        raise ConnectionFailed("could not connect")

    monkeypatch.setattr(demo, "run", fail)

    assert dfinery("demo") == (
        4,
        "",
        "dfinery: could not connect; `dfinery doctor` shows how far one gets\n",
    )


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_the_extra_there_is_a_helpful_line(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from dfinery_async.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'dfinery: the command line needs its extra: pip install "dfinery-async[cli]"\n'


def test_importing_the_package_needs_no_extra():
    code = "import sys, dfinery_async.cli; print({'cyclopts', 'rich'} & set(sys.modules))"
    output = subprocess.check_output([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, text=True)

    assert output == "set()\n"


def test_a_reader_that_goes_away_is_no_crash():
    with start("load", "events", "--help") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()

    assert process.returncode == 1
    assert errors == ""
