from __future__ import annotations

import json

import pytest

from kit import bounds
from kit.results import newest


def rows(rounds=3, **costs):
    """One table: each client's CPU seconds for a thousand events, the same in every round."""
    return {name: {"samples": [sample(cost) for _ in range(rounds)]} for name, cost in costs.items()}


def sample(cpu, events=1000, requests=1000, minimum=1000, wall=None):
    seen = {"requests": requests, "events": events}
    return {"cpu": cpu, "wall": cpu if wall is None else wall, "events": events, "minimum": minimum, "seen": seen}


def verdicts(judged):
    return {bound.what: bound.verdict for bound in judged if bound.verdict != "no figure"}


GOOD = {
    "b": rows(ours=0.01, aiohttp=0.08, httpx=2.0, bare=0.008),
    "a": rows(**{"ours": 0.003, "bare": 0.0029, "snowplow": 0.02, "ours-receipts": 0.0035}),
    "many": rows(ours=0.01, aiohttp=0.05),
    "b-tls": rows(ours=0.02, aiohttp=0.09, httpx=2.5, bare=0.012),
}


def test_a_run_that_keeps_every_bound_is_ok_throughout():
    judged = verdicts(bounds.of_compare(GOOD))

    assert len(judged) == 10
    assert set(judged.values()) == {"ok"}


@pytest.mark.parametrize(
    ("table", "broken", "what"),
    [
        ("b", {"aiohttp": 0.039}, "aiohttp gather"),
        ("b", {"httpx": 0.49}, "plain httpx"),
        ("b", {"bare": 0.0049}, "the bare client posting"),
        ("a", {"bare": 0.0023}, "events per CPU second"),
        ("a", {"mixpanel": 0.014}, "the best other vendor"),
        ("a", {"ours-receipts": 0.004}, "every receipt"),
        ("many", {"aiohttp": 0.039}, "1,024 in flight"),  # CPU and wall alike
        ("b-tls", {"ours": 0.1}, "from (b) to (b-tls); ours and aiohttp"),
    ],
)
def test_a_broken_bound_is_found_and_no_other(table, broken, what):
    judged = verdicts(bounds.of_compare({**GOOD, table: {**GOOD[table], **rows(**broken)}}))

    assert [name for name, verdict in judged.items() if verdict != "ok"] == [name for name in judged if what in name]
    assert "NOT OK" in judged.values()


def test_too_many_requests_are_found():
    figures = {"a": {"ours": {"samples": [sample(0.003, requests=1200)]}}}

    assert verdicts(bounds.of_compare(figures)) == {"(a): requests / the fewest possible": "NOT OK"}


def test_a_client_that_failed_gives_no_figure():
    figures = {"b": {**GOOD["b"], "aiohttp": {"failed": "aiohttp is not installed"}}}

    assert not any("aiohttp" in what for what in verdicts(bounds.of_compare(figures)))


@pytest.mark.parametrize(("dearest", "verdict"), [(0.012, "ok"), (0.013, "NOT OK")])
def test_growth_is_judged_by_the_dearest_point(dearest, verdict):
    points = {"users": rows(**{"10": 0.01, "1000": dearest, "100000": 0.009})}

    assert list(verdicts(bounds.of_growth(points)).values()) == [verdict]


@pytest.mark.parametrize(("traced", "verdict"), [(65_000, "ok"), (66_000, "NOT OK")])
def test_memory_is_judged_by_the_size_of_an_event(traced, verdict):
    memory = {"memory": {"100 of 10": {"pending": 100, "users": 10, "event_bytes": 270, "traced": traced}}}

    assert list(verdicts(bounds.of_growth(memory)).values()) == [verdict]


@pytest.mark.parametrize(("median", "verdict"), [(299, "ok"), (301, "NOT OK")])
def test_latency_is_judged_for_our_producer(median, verdict):
    figures = {"ours on asyncio": {"samples": [{"p50": median}]}, "httpx on asyncio": {"samples": [{"p50": 9999}]}}

    assert list(verdicts(bounds.of_idle(figures)).values()) == [verdict]


def test_the_section_shows_figure_bound_and_verdict():
    page = bounds.section(bounds.of_idle({"ours on asyncio": {"samples": [{"p50": 350.0}, {"p50": 370.0}]}}))

    assert "| 360 | 350 to 370 | at most 300 | NOT OK |" in page


def test_only_whole_runs_of_the_newest_day_are_looked_at(tmp_path):
    for name, at in (
        ("2026-01-01-compare", "2026-01-01T10:00:00"),
        ("2026-01-02-compare-b", "2026-01-02T12:00:00"),
        ("2026-01-02-compare", "2026-01-02T10:00:00"),
        ("2026-01-03-compare-quick", "2026-01-03T10:00:00"),
        ("2026-01-03-growth", "2026-01-03T10:00:00"),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"at": at}))

    assert [run["at"] for run in newest("compare", tmp_path)] == ["2026-01-02T10:00:00", "2026-01-02T12:00:00"]
