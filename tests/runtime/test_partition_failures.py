"""`send_partition` when rows are bad, the API refuses or is away, and settings cannot work."""

from __future__ import annotations

import threading
from itertools import count
from typing import Any

import pytest
from partition_kit import ids, numbered, row, settings

from dfinery_async import ConfigError, DeliveryError, send_partition
from dfinery_async.emulator import Emulator, Fault


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


class TestWhatGoesWrong:
    def test_a_bad_row_takes_no_other_with_it(self, emulator):
        rows = [row(), row(event_name=7), {"identity": {"external_id": "u1"}}, "no row", row(typo=1), row()]

        report = send_partition(rows, settings=settings(emulator))

        assert (report.accepted, report.delivered, report.rejected, report.unreadable) == (6, 2, 4, 4)
        assert not report.complete
        assert report.problems == (
            "row 2: event_name: must be text, not a number",
            "row 3: event_name: is missing",
            "row 4: a row must be a dict, not str",
            "row 5: typo: is no field of an event",
        )

    def test_a_name_that_is_no_text_is_told_of(self, emulator):
        rows = [{1: 2}, row(event_properties={1: 2})]

        report = send_partition(rows, settings=settings(emulator))

        assert report.problems == ("row 1: names must be text", "row 2: event_properties: names must be text")

    def test_a_refused_event_takes_no_other_with_it_and_is_counted(self, emulator):
        emulator.inject(Fault("poison", match="bad"))
        rows = [row(event_properties={"kind": "bad" if number % 10 == 3 else "good"}) for number in range(50)]

        report = send_partition(rows, settings=settings(emulator))

        assert (report.delivered, report.rejected, report.unreadable) == (45, 5, 0)
        (problem,) = report.problems
        assert problem.startswith("refused 5 times: 40001")

    def test_an_own_callback_for_refusals_is_called(self, emulator):
        emulator.inject(Fault("poison", match="bad"))
        seen: list[Any] = []

        send_partition(
            [row(event_properties={"kind": "bad"})],
            settings=settings(emulator, producer={"on_rejected": seen.append}),
        )

        assert [rejection.identity.external_id for rejection in seen] == ["u1"]

    def test_it_raises_when_asked_to_after_the_rest_was_sent(self, emulator):
        with pytest.raises(DeliveryError, match="1 of 3 rows were not delivered: row 2: event_name: must not be empty"):
            send_partition([row(), row(event_name=""), row()], settings=settings(emulator, raise_on="rejection"))

        assert len(emulator.events) == 2
        assert send_partition([row(event_name="")], settings=settings(emulator, raise_on="failure")).rejected == 1

    def test_a_failure_is_raised_when_asked_for(self, emulator):
        emulator.inject(Fault.parse("hang"))

        with pytest.raises(DeliveryError, match="1 of 1 rows were not delivered: no answer") as caught:
            send_partition([row()], settings=settings(emulator, give_up_after=0.2, raise_on="failure"))

        assert caught.value.__cause__ is not None

    def test_faults_on_the_way_are_overcome(self, emulator):
        emulator.inject(Fault.parse("reset=10%"))
        emulator.inject(Fault.parse("lost_answer=10%"))
        emulator.inject(Fault.parse("5xx=10%"))

        report = send_partition(numbered(40, 20), settings=settings(emulator))

        assert report.complete
        assert report.retries > 0
        assert len(set(ids(emulator))) == 800

    def test_a_refused_token_ends_the_partition_without_reading_all_rows(self, emulator):
        drawn = count()
        endless = (row(f"u{next(drawn)}") for _ in range(10**9))
        report = send_partition(
            endless, settings={**settings(emulator), "import_token": "stale", "producer": {"max_pending_events": 1000}}
        )

        assert report.error is not None
        assert "40201" in report.error
        assert report.delivered == 0
        assert report.dropped == report.accepted < 5000
        assert report.accepted == report.delivered + report.rejected + report.dropped + report.pending

    def test_silence_ends_it_after_the_time_that_was_set(self, emulator):
        emulator.inject(Fault.parse("hang"))

        report = send_partition([row()], settings=settings(emulator, give_up_after=0.3))

        assert report.error is not None
        assert "no answer from the API within 0.3 s" in report.error
        assert report.dropped == 1

    def test_an_error_of_the_rows_is_the_callers_and_leaves_no_thread(self, emulator):
        def rows():
            yield from numbered(2, 600)
            raise OSError("the table is gone")

        before = threading.active_count()
        with pytest.raises(OSError, match="the table is gone") as caught:
            send_partition(rows(), settings=settings(emulator))

        assert threading.active_count() == before
        assert len(emulator.events) == 1200  # what it gave before was sent
        assert caught.value.__notes__ == ["dfinery: 1,200 rows were taken before, 1,200 of them were delivered"]

    def test_rows_that_are_to_be_sorted_are_sent_up_to_where_they_break_off(self, emulator):
        def rows():
            yield row("u2")
            yield row("u1")
            raise OSError("the table is gone")

        with pytest.raises(OSError, match="the table is gone"):
            send_partition(rows(), settings=settings(emulator, sort=True))

        assert [event["identity"]["external_id"] for event in emulator.events] == ["u1", "u2"]

    @pytest.mark.parametrize("wrong", [None, 7, "service", [("service_id", "s")]])
    def test_settings_are_a_dict(self, wrong):
        with pytest.raises(ConfigError, match="settings must be a dict of the client's arguments, not "):
            send_partition([row()], settings=wrong)

    @pytest.mark.parametrize(
        ("wrong", "expected"),
        [
            ({"imprt_token": "secret"}, "'imprt_token' is not an argument of DfineryClient"),
            ({"producer": {"lingr": 1}}, "'lingr' is not an argument of client.producer"),
            ({"producer": 7}, r"Expected `object`, got `int` - at `\$.producer`"),
            ({"kind": "event"}, r"at `\$.kind`"),
            ({"ids": "uuid"}, r"at `\$.ids`"),
            ({"give_up_after": 0}, r"at `\$.give_up_after`"),
            ({"raise_on": "all"}, r"at `\$.raise_on`"),
            ({"import_token": "no token"}, "holds a space"),
            ({"producer": {"linger": -1}}, "linger"),
        ],
    )
    def test_settings_that_cannot_work_raise_and_tell_no_token(self, emulator, wrong, expected):
        with pytest.raises(ConfigError, match=expected) as caught:
            send_partition([row()], settings={**settings(emulator), **wrong})

        assert "secret" not in str(caught.value)
        assert emulator.import_token not in str(caught.value)

    def test_a_missing_token_is_told_of(self, emulator, monkeypatch):
        monkeypatch.delenv("DFINERY_IMPORT_TOKEN", raising=False)
        with pytest.raises(ConfigError, match="import_token"):
            send_partition([row()], settings={"service_id": emulator.service_id, "base_url": emulator.base_url})
