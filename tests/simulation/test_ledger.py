"""After a request in doubt only the same may come, or a part of it: also where callers were cancelled meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from sim_ledger import EVENT, IDENTITY, PROFILE, Attempt, End, Ledger, User

KINDS = pytest.mark.parametrize("kind", [PROFILE, EVENT, IDENTITY])


class Told:
    """A receipt, and whether it has told its fate."""

    def __init__(self, *, done: bool = False) -> None:
        self._done = done

    def done(self) -> bool:
        return self._done


def ledger_of(kind: int, *receipts: Any) -> tuple[Ledger, User]:
    """One user's calls; `None` is one whose caller was cancelled."""
    ledger, user = Ledger(), User("u", {"external_id": "u"}, 0)
    ledger.producer(1024)
    for receipt in receipts:
        number = ledger.call(user, kind)
        if receipt is None:
            ledger.unknown(number)
        else:
            ledger.accepted(number, receipt)
    return ledger, user


def meets(ledger: Ledger, user: User, kind: int, units: list[int], end: End) -> None:
    body = b'{"events":[%s]}' % b",".join(b"%d" % unit for unit in units)
    attempt = Attempt(kind, user, units, body)
    ledger.departs(attempt)
    ledger.returns(attempt, end)


@KINDS
def test_a_half_may_hold_only_what_a_cancelled_caller_handed_in(kind):
    ledger, user = ledger_of(kind, Told(done=True), None, Told())
    meets(ledger, user, kind, [0, 1, 2], End.DOUBT)
    meets(ledger, user, kind, [0, 1, 2], End.REFUSED)

    meets(ledger, user, kind, [0], End.DONE)
    meets(ledger, user, kind, [1], End.DONE)

    assert not ledger.broken


@KINDS
def test_what_a_cancelled_caller_handed_in_may_not_overtake(kind):
    ledger, user = ledger_of(kind, Told(), Told(), None)
    meets(ledger, user, kind, [0, 1], End.DOUBT)

    meets(ledger, user, kind, [2], End.DONE)

    assert ledger.broken == {"order": 1}


@KINDS
def test_nothing_may_join_a_request_in_doubt(kind):
    ledger, user = ledger_of(kind, Told(), None)
    meets(ledger, user, kind, [0], End.DOUBT)

    meets(ledger, user, kind, [0, 1], End.DONE)

    assert ledger.broken == {"bytes": 1}


@KINDS
def test_a_part_may_go_only_after_a_refusal_or_when_the_rest_is_settled(kind):
    ledger, user = ledger_of(kind, Told(), Told())
    meets(ledger, user, kind, [0, 1], End.DOUBT)

    meets(ledger, user, kind, [1], End.DONE)

    assert ledger.broken == {"bytes": 1}


def test_an_identity_that_may_never_have_come_in_is_no_repetition():
    ledger, user = ledger_of(IDENTITY, None, Told(done=True), Told())
    meets(ledger, user, IDENTITY, [0, 1], End.DOUBT)

    meets(ledger, user, IDENTITY, [0, 2], End.DONE)

    assert not ledger.broken
