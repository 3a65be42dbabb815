"""What the answers say of the way to the API as a whole, and when a closed way is tried again.

Two things close it. A refused token or a wrong address stays so until somebody mends it: one request now and then finds
out. Silence, when nobody answers any more, or something that is not the API, ends by itself: probes follow the backoff.
Nothing is dropped meanwhile.
"""

from __future__ import annotations

import math

from dfinery_async.config import RetryConfig
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.core.retry import backoff
from dfinery_async.errors import ConnectionFailed, DfineryError, UnexpectedResponse

__all__ = ["HOPELESS_AFTER", "Health"]

HOPELESS_AFTER = 60.0
"""Seconds of nothing but refusals after which callers of `track` are told instead of being let in."""

_FIRST_PROBE, _SLOWEST_PROBE = 1.0, 60.0
_UNREACHABLE_AFTER = 3  # attempts in a row without any answer
_SILENCE = 1.0  # seconds of it, and as many attempts as below, close the way
_SILENT_AFTER = 5
_STATES = {Verdict.UNAUTHORIZED: "unauthorized", Verdict.MISCONFIGURED: "misconfigured"}


class Health:
    """Watches outcomes.

    Attributes:
        trouble: the error of the last attempt, `None` when it went well.
        probe_at: when the closed way is tried again; `math.inf` while it is open.
        refused: what closed it, if the last answer did.
    """

    def __init__(self, retry: RetryConfig) -> None:
        self.trouble: DfineryError | None = None
        self.probe_at: float = math.inf
        self._retry = retry
        self.refused: Verdict | None = None
        self._refusal: DfineryError | None = None
        self._refused_since = 0.0
        self._probe_delay = _FIRST_PROBE
        self._unanswered = 0
        self._waiting_since: float | None = None

    @property
    def open(self) -> bool:
        """Whether requests may go as they come."""
        return self.probe_at == math.inf

    def launched(self, now: float) -> None:
        """Note that a request goes out."""
        if self._waiting_since is None:
            self._waiting_since = now

    def observe(self, outcome: Outcome, now: float, *, others_in_air: bool, chance: float) -> None:
        """Note how a request ended. `chance` is uniform in [0, 1)."""
        if outcome.error is None:
            self.answered(now, others_in_air=others_in_air)
            return
        self.trouble = outcome.error
        # A web page or the like is no answer of the API's: somebody else sits at this address, or in between.
        if isinstance(outcome.error, ConnectionFailed | UnexpectedResponse) and outcome.error.retryable:
            self._unanswered += 1
            if self._unanswered >= _SILENT_AFTER and self.silent_for(now) >= _SILENCE:
                self.probe_at = now + backoff(self._retry, self._unanswered - _SILENT_AFTER + 1, chance)
            return
        self._unanswered = 0
        self._waiting_since = now if others_in_air else None
        if outcome.verdict in _STATES:
            if self.refused is None:
                self._refused_since = now
                self._probe_delay = _FIRST_PROBE
            self.refused, self._refusal = outcome.verdict, outcome.error
            self.probe_at = now + self._probe_delay
        else:
            self.refused = None
            self.probe_at = math.inf

    def answered(self, now: float, *, others_in_air: bool) -> None:
        """Note a request that went well."""
        self._waiting_since = now if others_in_air else None
        if self.trouble is not None:
            self.trouble = self.refused = None
            self._unanswered = 0
            self.probe_at = math.inf

    def probing(self, now: float) -> None:
        """Note that the closed way is tried now; the next try comes later than this one did."""
        if self.refused is not None:
            self._probe_delay = min(_SLOWEST_PROBE, self._probe_delay * 2)
            self.probe_at = now + self._probe_delay
        else:
            self.probe_at = now + self._retry.cap

    def resume(self, now: float) -> None:
        """Try again at once, as a setting has changed."""
        if not self.open:
            self.probe_at = now
            self._probe_delay = _FIRST_PROBE
            self._refused_since = now

    def state(self) -> str:
        """What hinders delivery, in one word; `"running"` when nothing does."""
        if self.refused is not None:
            return _STATES[self.refused]
        return "unreachable" if self._unanswered >= _UNREACHABLE_AFTER else "running"

    def silent_for(self, now: float) -> float:
        """Seconds for which requests have gone without any answer; 0 when none is due."""
        return 0.0 if self._waiting_since is None else now - self._waiting_since

    def hopeless(self, now: float) -> DfineryError | None:
        """Return the reason why handing over more has no use, or `None`."""
        if self.refused is None or now - self._refused_since < HOPELESS_AFTER:
            return None
        return self._refusal
