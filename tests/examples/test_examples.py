"""Each program in examples/ does what it says, against an emulator."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from dfinery_async.emulator import Fault

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch, dfinery_environment):
    """Import an example, with the variables `DFINERY_…` set."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def load(name):
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load


def order(number):
    return {"id": f"O-{number}", "user": f"member-{number % 3}", "amount": number + 0.5}


def arrived(emulator):
    return sorted(event["event_properties"]["df_order_id"] for event in emulator.events)


def worker(folder, environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / "worker.py"],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": str(EXAMPLES.parent)},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_the_worker_delivers_what_it_reads(dfinery_emulator, tmp_path):
    with worker(tmp_path, dfinery_emulator.environment) as process:
        output, _ = process.communicate("".join(json.dumps(order(number)) + "\n" for number in range(50)))

    assert json.loads(output.splitlines()[-1]) == {"delivered": 50, "spooled": 0}
    assert len(dfinery_emulator.events) == 50


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_worker_delivers_what_it_took_when_it_is_told_to_end(dfinery_emulator, tmp_path, how):
    with worker(tmp_path, dfinery_emulator.environment) as process:
        assert process.stdout.readline() == "working\n"
        process.stdin.write(json.dumps(order(1)) + "\n")
        process.stdin.flush()
        dfinery_emulator.assert_event("df_purchase", within=20)
        process.send_signal(how)
        assert json.loads(process.stdout.read()) == {"delivered": 1, "spooled": 0}
        assert process.wait(20) == 0


class Remaining:
    """The platform's word on how long an invocation may take."""

    def __init__(self, seconds):
        self.seconds = seconds

    def get_remaining_time_in_millis(self):
        return int(self.seconds * 1000)


def messages(count):
    return [{"messageId": str(uuid.UUID(int=number + 1)), "body": json.dumps(order(number))} for number in range(count)]


def test_the_handler_delivers_before_it_returns(example, dfinery_emulator):
    answer = example("lambda_handler").handler({"Records": messages(20)}, Remaining(30))

    assert answer == {"batchItemFailures": []}
    assert {event["event_log_id"] for event in dfinery_emulator.events} == {each["messageId"] for each in messages(20)}


def test_the_handler_hands_back_what_was_refused_or_not_delivered_in_time(example, dfinery_emulator):
    handler = example("lambda_handler").handler
    poison = dfinery_emulator.inject(Fault("poison", match="O-7"))
    assert handler({"Records": messages(20)}, Remaining(30)) == {
        "batchItemFailures": [{"itemIdentifier": str(uuid.UUID(int=8))}]
    }
    poison.remove()
    dfinery_emulator.inject("5xx=100%")
    failed = handler({"Records": messages(3)}, Remaining(1.2))["batchItemFailures"]
    assert [each["itemIdentifier"] for each in failed] == [each["messageId"] for each in messages(3)]


def test_the_taskiq_worker_delivers_its_tasks(example, dfinery_emulator, capsys):
    module = example("taskiq_worker")

    async def scenario():
        await module.broker.startup()
        task = await module.place_order.kiq("member-1", "O-1", 12.5)
        result = await task.wait_result(timeout=20)
        await module.broker.shutdown()
        return result

    result = asyncio.run(scenario())
    assert (result.is_err, result.return_value) == (False, "delivered")
    assert arrived(dfinery_emulator) == ["O-1"]
    assert capsys.readouterr().out == "1 of 1 delivered\n"


def test_purchases_become_a_file_that_can_be_loaded(dfinery_emulator, tmp_path):
    (tmp_path / "purchases.txt").write_text(
        " 00001 19970101  1   11.77\n 00002 19970112  5   77.00\n", encoding="ascii"
    )
    environment = {**os.environ, **dfinery_emulator.environment, "PYTHONPATH": str(EXAMPLES.parent)}

    for command in (
        [sys.executable, str(EXAMPLES / "cdnow_to_jsonl.py"), "purchases.txt", "-o", "purchases.jsonl"],
        [sys.executable, "-c", "from dfinery_async.cli import main; main()", "load", "events", "purchases.jsonl"],
    ):
        subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)

    assert len(dfinery_emulator.events) == 2


def test_every_example_has_a_test():
    text = Path(__file__).read_text("utf-8")
    unseen = [path.name for path in EXAMPLES.glob("*.py") if path.stem not in text]

    assert unseen == []
