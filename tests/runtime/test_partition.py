from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import subprocess
import sys
import threading
import uuid
from collections import defaultdict
from itertools import count
from typing import Any

import msgspec
import pytest

from dfinery_async import ConfigError, DeliveryError, PartitionReport, RetryConfig, send_partition
from dfinery_async.cli.app import run
from dfinery_async.emulator import Emulator, Fault

MOMENT = dt.datetime(2025, 3, 2, 4, 11, 9, tzinfo=dt.UTC)
QUICK = RetryConfig(base=0.001, cap=0.01)


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


def settings(emulator, **more):
    return {
        "service_id": emulator.service_id,
        "import_token": emulator.import_token,
        "base_url": emulator.base_url,
        "retry": QUICK,
        **more,
    }


def row(user="u1", **changes):
    made = {
        "identity": {"external_id": user},
        "event_name": "df_login",
        "event_datetime": "2025-03-02T04:11:09.120Z",
    }
    return {**made, **changes}


def numbered(users: int, each: int):
    for number in range(each):
        for user in range(users):
            yield row(f"u{user}", event_properties={"number": number})


def ids(emulator) -> list[str]:
    return [event["event_log_id"] for event in emulator.events]


def test_each_row_arrives_in_the_order_of_its_user_and_the_books_balance(emulator):
    report = send_partition(numbered(20, 150), settings=settings(emulator))

    seen = defaultdict(list)
    for event in emulator.events:
        seen[event["identity"]["external_id"]].append(event["event_properties"]["number"])
    assert report.complete
    assert (report.accepted, report.delivered, report.pending, report.unreadable) == (3000, 3000, 0, 0)
    assert report.requests == len(emulator.requests)
    assert dict(seen) == {f"u{user}": list(range(150)) for user in range(20)}


def test_the_report_can_be_sent_to_another_process(emulator):
    report = send_partition([row(event_name="")], settings=settings(emulator))

    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301 - our own
    assert msgspec.json.decode(msgspec.json.encode(report.to_dict()))["problems"] == [
        "row 1: event_name: must not be empty"
    ]
    assert pickle.loads(pickle.dumps(send_partition)) is send_partition  # noqa: S301


def test_no_rows_are_no_requests(emulator):
    report = send_partition(iter([]), settings=settings(emulator))

    assert report.complete
    assert report.accepted == 0
    assert emulator.requests == []


def test_objects_in_rows_and_plain_users_are_taken(emulator):
    log_id = uuid.uuid4()
    rows = [
        row(
            identity="u9",
            event_datetime=MOMENT,
            event_log_id=log_id,
            event_properties={"day": dt.date(2025, 3, 2), "at": MOMENT, "tags": ("a", "b")},
            event_items=({"df_item_id": "1"},),
        )
    ]

    assert send_partition(rows, settings=settings(emulator)).complete

    (event,) = emulator.events
    assert event["identity"] == {"external_id": "u9"}
    assert event["event_datetime"] == "2025-03-02T04:11:09.000Z"
    assert event["event_log_id"] == str(log_id)
    assert event["event_properties"] == {"day": "2025-03-02", "at": "2025-03-02T04:11:09.000Z", "tags": ["a", "b"]}


def test_rows_of_a_table_have_nulls_and_dotted_columns(emulator):
    plain = {"event_name": "df_login", "event_datetime": MOMENT, "identity.external_id": "u1", "event_items": None}
    rows = [
        {**plain, "event_properties": '{"a": 1, "b": null}'},
        {**plain, "event_properties": "{"},
        {**plain, "event_properties.a": 2, "event_properties.b": None},
    ]

    report = send_partition(rows, settings=settings(emulator, table=True))

    assert [event["event_properties"] for event in emulator.events] == [{"a": 1}, {"a": 2}]
    assert report.problems == ('row 2: event_properties: must be a JSON object, such as {"external_id": "u1"}',)


def test_reports_add_up(emulator):
    one = send_partition(numbered(2, 3), settings=settings(emulator))
    two = send_partition([row(event_name="")], settings=settings(emulator))

    whole = PartitionReport.total([one, two])

    assert (whole.accepted, whole.delivered, whole.rejected, whole.unreadable) == (7, 6, 1, 1)
    assert whole.seconds == max(one.seconds, two.seconds)
    assert whole.problems == two.problems
    assert PartitionReport.total([]).complete


def test_rows_are_sorted_by_user_and_time_when_asked_for(emulator):
    times = ["2025-03-02T04:00:00Z", "2025-03-02T12:30:00+09:00", "2025-03-02T03:00:00.500Z", "2025-03-02T03:00:00Z"]
    rows = [
        row(user, event_datetime=time, event_properties={"n": n})
        for n, time in enumerate([*times, times[0]])
        for user in ("u1", "u2")
    ]

    report = send_partition(rows, settings=settings(emulator, sort=True, producer={"max_in_flight": 1}))

    assert [event["event_properties"]["n"] for event in emulator.events] == [3, 2, 1, 0, 4] * 2
    assert report.requests == 2


def test_profiles_and_identities_are_kinds_of_partitions(emulator):
    profiles = [{"identity": "u1", "user_properties": {"df_gender": "Female"}}]

    assert send_partition(profiles, settings=settings(emulator, kind="profiles")).complete
    assert send_partition([{"identity": {"email": "a@b.c"}}], settings=settings(emulator, kind="identities")).complete

    first, second = emulator.profiles
    assert first.properties == {"df_gender": "Female"}
    assert second.identities == {"email": "a@b.c"}


class TestIds:
    def test_a_partition_that_is_run_again_makes_no_new_events(self, emulator):
        rows = [*numbered(3, 5), row(), row()]
        for _ in range(2):
            assert send_partition(rows, settings=settings(emulator)).complete

        assert len(emulator.events) == 34
        assert len(set(ids(emulator))) == 17  # two equal rows are two events

    def test_they_are_those_of_a_file_with_the_same_lines(self, emulator, tmp_path, monkeypatch):
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        rows = [*numbered(3, 5), row(), row()]
        path = tmp_path / "events.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in rows))

        assert run(["load", "events", str(path)]) == 0
        of_the_file = set(ids(emulator))
        emulator.reset()
        send_partition(rows, settings=settings(emulator))

        assert set(ids(emulator)) == of_the_file

    def test_by_content_the_order_of_rows_does_not_matter(self, emulator):
        rows = [row(), *numbered(3, 5), row()]
        found = []
        for several in (rows, rows[::-1], rows[5:] + rows[:5]):
            emulator.reset()
            assert send_partition(several, settings=settings(emulator, ids="content")).complete
            found.append(set(ids(emulator)))

        assert found[0] == found[1] == found[2]
        assert len(found[0]) == 17

    def test_by_content_a_part_of_the_users_has_the_same_ids_alone(self, emulator):
        rows = [row(), *numbered(3, 5), row()]
        send_partition(rows, settings=settings(emulator, ids="content"))
        whole = {(event["identity"]["external_id"], event["event_log_id"]) for event in emulator.events}
        emulator.reset()
        send_partition(
            [each for each in rows if each["identity"]["external_id"] != "u0"],
            settings=settings(emulator, ids="content"),
        )

        assert set(ids(emulator)) == {log_id for user, log_id in whole if user != "u0"}


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
        with pytest.raises(OSError, match="the table is gone"):
            send_partition(rows(), settings=settings(emulator))

        assert threading.active_count() == before

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


class TestWhereItRuns:
    def test_settings_come_from_the_environment(self, emulator, monkeypatch):
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)

        assert send_partition([row()], settings={}).complete

    async def _call(self, emulator) -> PartitionReport:
        return send_partition([row()], settings=settings(emulator))

    def test_it_works_in_a_thread_whose_loop_runs(self, emulator):
        assert asyncio.run(self._call(emulator)).complete

    def test_rows_are_read_in_the_callers_thread(self, emulator):
        threads = set()

        def rows():
            for each in numbered(2, 600):
                threads.add(threading.get_ident())
                yield each

        send_partition(rows(), settings=settings(emulator))

        assert threads == {threading.get_ident()}

    def test_it_works_in_forked_workers_of_a_process_that_has_sent_already(self, emulator):
        if sys.platform == "win32":
            pytest.skip("no forks here")
        code = """
import multiprocessing
from dfinery_async import send_partition

def rows(user):
    for number in range(50):
        yield {"identity": user, "event_name": "df_login", "event_datetime": "2025-03-02T04:11:09Z"}

def work(user):
    return send_partition(rows(user), settings={}).delivered

assert work("parent") == 50
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, ["u1", "u2", "u3"]))
    pool.close()
    pool.join()
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env=emulator.environment,
        )

        assert (done.stdout.strip(), done.stderr) == ("[50, 50, 50]", "")
        assert len(set(ids(emulator))) == 200

    def test_many_at_once_in_threads(self, emulator):
        reports = []

        def work(user):
            reports.append(send_partition([row(user)] * 50, settings=settings(emulator)))

        threads = [threading.Thread(target=work, args=(f"u{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [report.delivered for report in reports] == [50] * 4
        assert len(set(ids(emulator))) == 200
