"""Changed answers by the thousand: typed errors only, and no answer is ever taken for that of another request.

`DFINERY_TEST_SCALE=20` makes it 100,000.
"""

from __future__ import annotations

import random

import httpx
import pytest
from export_bench import until
from far_end import virtually
from wire_bench import hoard
from wire_kit import SCALE, Outcome, ask, fast, post
from wire_loop import Line, WireLoop, wire
from wire_mutants import ORIGINALS, Audit, mark, mutated, segments
from wire_server import Request


async def attack(seed: int, number: int) -> Audit:
    """Send that many requests, by both ways, on one connection at a time; most of the answers are changed."""
    chance = random.Random(seed)
    audit = Audit()

    def script(request: Request, line: Line) -> None:
        word = request.line.split()[1][1:]
        reply = chance.choice(ORIGINALS)(word)
        if chance.random() < 0.7:
            reply = mutated(reply, chance)
        line.say(*segments(reply, chance))
        match chance.randrange(12):
            case 0 | 1 | 2 | 3:
                line.end()
            case 4:
                line.reset()
            case _:
                pass  # what never ends runs into the time-out

    loop = wire()
    loop.script = script
    async with fast(limits=httpx.Limits(max_connections=1)) as transport:
        for each in range(number):
            url = f"http://far.example/{mark(each).decode()}"
            outcome = await chance.choice((ask, post))(transport, url)
            audit.look(each, outcome)
            await until(lambda: not (loop.lines[-1].open and loop.lines[-1].waiting))
            del loop.lines[:-1], loop.requests[:]
            assert transport.stats().connections <= 1
    assert loop.open == []
    assert loop.unheard == []
    return audit


@pytest.mark.parametrize("seed", range(4))
def test_changed_answers_are_typed_errors_or_answers_to_their_own_request(seed: int) -> None:
    number = 1250 * SCALE
    audit = virtually(attack(seed, number), WireLoop)
    assert audit.faults == []
    assert audit.outcomes.total() == number
    assert min(audit.outcomes["answer"], audit.outcomes["RemoteProtocolError"]) > number / 10  # both ways are gone


def test_the_audit_finds_a_transport_that_mixes_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    hoard(monkeypatch)
    audit = virtually(attack(1, 300), WireLoop)
    assert any("the answer of another request" in fault for fault in audit.faults)


def test_the_audit_knows_whose_answer_it_is() -> None:
    audit = Audit()
    own, other = mark(1), mark(2)
    audit.look(2, Outcome(error="ReadTimeout"))
    audit.look(1, Outcome(status=200, reason=b"OK", body=own * 3, headers=((b"x", own),)))
    audit.look(1, Outcome(status=200, reason=b"OK", body=b"what was left of " + own[3:]))
    audit.look(1, Outcome(error="RemoteProtocolError"))
    assert audit.faults == []
    audit.look(1, Outcome(status=200, reason=b"OK", body=own + other))
    audit.look(1, Outcome(status=200, reason=b"OK", headers=((b"x", other),)))
    audit.look(1, Outcome(error="IndexError"))
    assert len(audit.faults) == 3
