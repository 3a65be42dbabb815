from __future__ import annotations

import json

from dfinery_async.cli import demo
from dfinery_async.cli.purchases import read_purchases


def test_the_purchases_are_the_real_ones():
    purchases = list(read_purchases())

    assert len(purchases) == len({purchase.log_id for purchase in purchases}) == 6919
    assert len({purchase.customer for purchase in purchases}) == 2357
    assert sum(purchase.dollars == 0 for purchase in purchases) == 8
    assert (purchases[0].customer, purchases[0].cds, purchases[0].dollars) == ("00004", 2, 29.33)
    assert f"{min(purchases, key=lambda each: each.moment).moment:%Y-%m-%d}" == "1997-01-01"


def test_what_comes_back_is_what_was_sent(dfinery):
    code, output, errors = dfinery("demo", "--json")

    report = json.loads(output)
    assert (code, errors) == (0, "")
    assert report["accepted"] == report["delivered"] == report["exported"] == report["agreed"] == 6919
    assert {"rejected", "dropped", "spooled", "pending", "requests", "retries", "throttled", "seconds"} < set(report)
    assert report["requests"] < 3000


def test_the_summary_for_people(dfinery):
    code, output, errors = dfinery("demo")

    assert (code, errors) == (0, "")
    assert "What came back is what was sent." in output
    assert max(map(len, output.splitlines())) <= 80


def test_a_difference_is_found(dfinery, monkeypatch):
    purchases = list(read_purchases())
    monkeypatch.setattr(demo, "_agrees", lambda purchase, *_: purchase.log_id != purchases[7].log_id)
    code, output, _ = dfinery("demo")

    assert code == 1
    assert "1 purchases are missing or differ" in output
