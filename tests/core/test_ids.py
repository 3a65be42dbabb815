"""Ids of events: random UUIDs, and no two processes give out the same."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from dfinery_async.ids import new_log_id

FORKED = """
import os
from dfinery_async import ids
ids.new_log_id()
if {keeps}:
    ids._stock = list(ids._stock)  # another list than the one that is forgotten
child = os.fork()
os.write(1, ids.new_log_id().encode() + b"\\n")
if child:
    os.waitpid(child, 0)
"""


def test_ids_are_random_uuids() -> None:
    made = [new_log_id() for _ in range(5000)]

    assert len(set(made)) == len(made)
    for text in made:
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (4, uuid.RFC_4122)
    for place in range(128):
        ones = sum(uuid.UUID(text).int >> place & 1 for text in made)
        assert 2000 < ones < 3000 or (ones in {0, 5000} and place in {62, 63, 76, 77, 78, 79}), place


def test_no_two_threads_get_the_same() -> None:
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda _: [new_log_id() for _ in range(5000)], range(4)))

    assert len({text for part in parts for text in part}) == 20_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.parametrize(("keeps", "different"), [(False, 2), (True, 1)])
def test_a_forked_child_has_ids_of_its_own(keeps: bool, different: int) -> None:
    """One that keeps its parent's stock goes on in it: the check can fail."""
    script = FORKED.format(keeps=keeps)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert len(done.stdout.split()) == 2
    assert len(set(done.stdout.split())) == different
