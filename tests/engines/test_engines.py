"""The engines for real: real purchases into the emulator with 5 % faults, a worker killed on the way.

Each engine runs in a process of its own. `nox -s engines` installs them; without an engine, or without Linux, whose
`/proc` tells which worker to kill, its tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec

import pytest
from engine_kit import far_end, job
from engine_rows import write
from engine_runs import ENGINES
from engine_servers import redis_server

SLOWLY = "latency=5ms"  # or all is over before a worker can be killed
TIMEOUT = 400.0
PURCHASES = 6919

pytestmark = [
    pytest.mark.timeout(TIMEOUT),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc which worker to kill"),
]


def needs(package: str, program: str | None = None):
    missing = [name for name in (package,) if find_spec(name) is None]
    if program is not None and shutil.which(program) is None:
        missing.append(program)
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


needs_spark, needs_ray = needs("pyspark", "java"), needs("ray")
needs_faststream, needs_dlt = needs("faststream", "redis-server"), needs("dlt")


@pytest.fixture(scope="module")
def purchases(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "events.jsonl"
    assert write(path, 1, 1) == PURCHASES
    return str(path)


@pytest.fixture
def source(request, purchases):
    """Where an engine finds the rows: the file, or a stream that was filled from it."""
    if request.node.callspec.params["engine"] != "faststream":
        yield purchases
        return
    with redis_server() as url:
        with job("faststream", url, "--fill", purchases, environment={}) as filling:
            assert filling.result(TIMEOUT) == {"filled": PURCHASES}
        yield url


def applied_once(verdict, *, ordered=True):
    assert verdict["events"] == verdict["ids"] == PURCHASES
    assert verdict["new_ids"] == verdict["shared_ids"] == 0
    if ordered:
        assert verdict["overtaken"] == 0


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("spark", marks=needs_spark),
        pytest.param("ray", marks=needs_ray),
        pytest.param("faststream", marks=needs_faststream),
    ],
)
def test_a_killed_worker_is_run_again_without_new_events_and_the_order_holds(engine, source):
    with far_end() as end:
        end.inject(SLOWLY)
        report = ENGINES[engine](end, source, 4, 1000, TIMEOUT / 2)
        verdict = end.verdict()

    applied_once(verdict)
    assert verdict["faults"] > 0
    assert report["rejected"] == 0
    if engine != "faststream":  # whose first application can't report any more
        assert report["delivered"] == PURCHASES
    assert verdict["arrivals"] > PURCHASES  # something really was sent again


@pytest.mark.parametrize("engine", [pytest.param("spark", marks=needs_spark), pytest.param("ray", marks=needs_ray)])
def test_rows_that_are_spread_arrive_as_well_but_cost_more_requests(engine, purchases):
    requests = {}
    for spread in ((), ("--spread",)):
        with far_end(faults=()) as end, job(engine, purchases, *spread, environment=end.environment) as running:
            assert running.result(TIMEOUT / 2)["delivered"] == PURCHASES
            requests[spread] = end.verdict()["requests"]
            applied_once(end.verdict(), ordered=not spread)

    assert requests["--spread",] > 1.2 * requests[()]


@needs_spark
def test_a_stream_of_spark(purchases):
    with far_end() as end, job("spark", purchases, "--stream", environment=end.environment) as running:
        report = running.result(TIMEOUT / 2)

        assert report["delivered"] == PURCHASES
        applied_once(end.verdict())


@needs_spark
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("pacing.shre=0.5", "an option pacing.shre is not known"),
        ("import_tokn=x", "'import_tokn' is not an argument of DfineryClient"),
    ],
)
def test_a_wrong_option_of_spark_is_told_of(option, told, purchases):
    with (
        far_end(faults=()) as end,
        job("spark", purchases, "--option", option, environment=end.environment) as running,
        pytest.raises(AssertionError, match=told),
    ):
        running.result(TIMEOUT / 2)


@needs_dlt
def test_dlt(purchases):
    with far_end() as end:
        for _ in range(2):
            with job("dlt", purchases, "--batch", "2000", environment=end.environment) as running:
                assert running.result(TIMEOUT / 2)["delivered"] == PURCHASES

        applied_once(end.verdict())


@needs_dlt
def test_a_table_that_dlt_is_not_told_of_is_not_sent(purchases):
    with far_end(faults=()) as end:
        with (
            job("dlt", purchases, "--table", "orders", environment=end.environment) as running,
            pytest.raises(AssertionError, match="what does the table orders hold"),
        ):
            running.result(TIMEOUT / 2)

        assert end.count() == 0


def test_a_job_that_fails_shows_its_errors(tmp_path):
    path = tmp_path / "job_nothing.py"
    path.write_text(json.dumps("no job"))
    with job("missing", environment={}) as running, pytest.raises(AssertionError, match="No such file"):
        running.result(TIMEOUT / 2)
