"""A short run of the simulation, and what gives a long one its worth: chance is one seed, and checkers do fail."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest
from sim_ledger import CHECKS
from sim_mutants import MUTANTS, mutated
from sim_plan import FATES
from sim_world import Result, simulate

from dfinery_async.core.caps import Caps

RUN = Path(__file__).with_name("run.py")
SMALL = 0.2

# For each checker a mutant that it finds.
SHOWN_BY = {
    "lost": "given up after three tries",
    "untrue": "acknowledged before it is sent",
    "grouping": "a neighbour's event in one of 1,000",
    "size": "150 events in a request",
    "order": "a request to repeat goes to the end of its lane",
    "duplicate": "sent once more after a success",
    "bytes": "a repeated request takes in what came meanwhile",
    "books": "a rejected unit counted twice",
    "waiter": "nobody wakes a flush",
    "leak": "a request that failed keeps its slot",
    "two in air": "two requests of one user in the air",
    "pace": "a spent quota is not minded",
    "crash": "an answer without meaning stops the engine",
}


def told(result: Result) -> str:
    return f"seed {result.seed}: {result.first}\npython {RUN.name} --seeds {result.seed} --scale {SMALL}"


@pytest.mark.parametrize("first", range(1, 301, 50))
def test_every_promise_is_kept_under_every_fault(first):
    for seed in range(first, first + 50):
        result = simulate(seed, SMALL)
        assert not result.broken, told(result)
        assert result.delivered + result.requests > 0


@pytest.mark.parametrize(
    "seed",
    [
        109384,  # half of a request is what a cancelled caller handed in
        115519,  # one event a request, half of them go wrong: it takes half a day
    ],
)
def test_what_long_runs_found_stays_mended(seed):
    assert not simulate(seed, 4.0).broken


def test_requests_grow_with_what_the_far_end_takes(monkeypatch):
    grown = simulate(109438)  # it takes one event for a while, later from 5 to 100
    monkeypatch.setattr(Caps, "delivered", lambda *_: None)
    small = simulate(109438)

    assert grown.delivered == small.delivered
    assert grown.delivered > 5 * grown.requests
    assert small.delivered < small.requests


def test_a_short_run_meets_every_fault():
    seen = Counter[str]()
    for seed in range(301, 381):
        seen += simulate(seed, SMALL).seen

    wanted = {
        *FATES,
        "accepted",
        "applied first when it was given up",
        "applied twice, after a doubt",
        "dropped",
        "outage",
        "quota spent",
        "rejected",
        "repeated after a doubt, same bytes",
        "request divided",
        "wall clock jumped",
    }
    assert wanted <= seen.keys()


def run_mutant(name: str, checks: set[str]) -> tuple[int, set[str]]:
    """Run seeds with a defect until one of the checks finds it."""
    mutant = MUTANTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a defective client leaves all kinds of things behind
        for seed in range(1, mutant.within + 1):
            with mutated(mutant):
                result = simulate(seed, SMALL)
            if found := checks & result.broken.keys():
                return seed, found
    pytest.fail(f"{name}: not found by {checks} within {mutant.within} seeds")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_caught(name):
    seed, found = run_mutant(name, MUTANTS[name].caught_by)
    sys.stdout.write(f"{name}: found by {sorted(found)} in seed {seed}\n")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("check", CHECKS)
def test_every_checker_is_shown_to_fail(check):
    assert check in run_mutant(SHOWN_BY[check], {check})[1]


def test_a_mutant_leaves_nothing_behind():
    simulated = [simulate(seed, SMALL) for seed in range(1, 6)]
    for mutant in MUTANTS.values():
        with mutated(mutant):
            pass

    again = [simulate(seed, SMALL) for seed in range(1, 6)]
    assert [result.trace for result in again] == [result.trace for result in simulated]


@pytest.mark.parametrize("seed", range(1001, 1021))
def test_the_same_seed_gives_the_same_trace(seed):
    first, second = simulate(seed, SMALL), simulate(seed, SMALL)

    assert (first.trace, first.requests, first.delivered, first.virtual) == (
        second.trace,
        second.requests,
        second.delivered,
        second.virtual,
    )


def test_a_seed_is_repeated_by_the_command_that_a_failure_prints():
    lines = []
    for hash_seed in ("1", "2"):
        command = [sys.executable, str(RUN), "--seeds", "1..12", "--scale", str(SMALL), "--verbose"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        lines.append([line for line in done.stdout.splitlines() if line.startswith("seed ")])

    assert len(lines[0]) == 12
    assert lines[0] == lines[1]


def test_two_seeds_give_two_traces():
    traces = {simulate(seed, SMALL).trace for seed in range(1, 21)}

    assert len(traces) == 20
