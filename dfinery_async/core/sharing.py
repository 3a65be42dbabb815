"""A quota that others use too: each sees by its own replies what all use, and gives way until all have as much.

Every reply tells what is left for everybody. What is left, over the time that is left, is the common pace, which uses
it up just in time. How fast it drops is what all use together. The ratio of the two, `u`, is the same for all who look,
and so is the law by which each moves its own part `p` of the common pace:

    d(ln p)/dt = (1 - u) / TURN - ln p / EVEN

The first term brings all together to `u = 1`, and moves everybody by the same factor. The second pulls each part
towards the whole, the smaller ones more, so that parts become equal, as fast for many as for few. It settles at
`p = 1/n` and `u = 1 + (TURN/EVEN) ln n`: n clients are a little early in the window, and the common pace, which follows
what is left, makes up for it. Who wants less than its part leaves the rest to the others, since all of them see `u`
fall. Who is alone has the whole: that is certain as long as no more is used than it has sent itself.
"""

from __future__ import annotations

import math

__all__ = ["FairShare"]

_TURN = 1 / 36  # of the span over which the quota is spread: how soon all together answer to what they see
_EVEN = 1 / 4  # of the span: how soon parts become equal
_LOOK = 1 / 60  # of the span: how often a look is taken
_FIRST_LOOK = 1 / 240
_LONGEST_FIRST_LOOK = 0.05  # seconds: a long window may be gone soon
_SHORTEST_LOOK = 1 / 10_000
_LONGEST_LOOK = 1 / 10  # of the span: a look ends after this long, however little was used meanwhile
_FEWEST = 8  # calls that a look should cover: fewer say more of chance than of pace
_END = 1 / 50  # of the span: so near the end what is left says nothing of a pace
_LARGEST_STEP = 0.5
_MOST_SEEN = 3.0  # of `u`
_DOUBLE = math.log(2)
_SMALLEST = math.log(1 / 4096)
_FIRST_PART = 1 / 16  # of who comes where all is used already


class FairShare:
    """One client's part of a quota, found from the counts in its own replies.

    Attributes:
        part: of the common pace, 1 for who is alone.
        alone: whether nobody else was seen in this window or in the one before.
        others: calls a second of all others, as seen last.
        own: calls of this client in the window that the server may have counted.
        due: monotonic time before which no look is taken.
    """

    __slots__ = (
        "_before",
        "_first",
        "_log",
        "_mark",
        "_met",
        "_new",
        "_own",
        "_seen_at",
        "alone",
        "due",
        "others",
        "own",
        "part",
    )

    def __init__(self) -> None:
        self.part: float = 1.0
        self.alone: bool = True
        self.others: float = 0.0
        self.own: int = 0
        self.due: float = -math.inf
        self._log = 0.0
        self._met = False  # whether others were seen in this window
        self._before = False  # and in the one before
        self._new = True  # whether this client has just come, or come back
        self._first = 0
        self._mark = 0
        self._own = 0
        self._seen_at = -math.inf

    def begin(self, remaining: int, now: float, span: float) -> None:
        """Take in the first count of a window."""
        self._new = now - self._seen_at > span
        # Doubled at the most: where a window is used up early, nobody looks either.
        self._relax((now - self._seen_at) / span - _LONGEST_LOOK, _DOUBLE)
        self._before, self._met = self._met, False
        self._first = remaining
        self.own = 0
        self._put_mark(remaining, now, span)

    def look(self, remaining: int, in_air: int, now: float, left: float, span: float) -> None:
        """Take in a count. Only when it is `due`, so that the usual reply costs nothing.

        Args:
            remaining: calls that are left for everybody.
            in_air: own calls without a reply, which may be counted already.
            now: monotonic time.
            left: seconds over which what is left is spread.
            span: seconds over which a whole quota is spread.
        """
        used = self._mark - remaining
        time = now - self._seen_at
        if used < 0:  # more is left than before: the limit was raised
            self._first = remaining
            self.own = 0
            self._put_mark(remaining, now, span)
            return
        if self._first - remaining > self.own + in_air:
            self._met = True
        self.alone = not (self._met or self._before)
        if self.alone:
            self._log = self.others = 0.0
            self.part = 1.0
            self._put_mark(remaining, now, span)
            return
        if time < span * (_SHORTEST_LOOK if used >= _FEWEST else _LONGEST_LOOK):
            return
        others = max(0.0, used - (self.own - self._own)) / time
        self.others = others if self._new else (self.others + others) / 2
        middle = (self._mark + remaining) / 2
        if left > span * _END and middle > _FEWEST:
            common = middle / (left + time / 2)
            if self._new:
                self._log = math.log(min(1.0, max(1 - others / common, _FIRST_PART)))
                self._new = False
            else:
                self._move(used / time / common, time / span)
        self._put_mark(remaining, now, span)

    def among(self, clients: int) -> None:
        """Take in how many share the quota, from who knows."""
        self._log = -math.log(clients)
        self.part = 1 / clients
        self._new = False

    def _move(self, use: float, time: float) -> None:
        """Follow the law for a time, given as a part of the span. A long one is answered by no leap."""
        self._relax(time - _LONGEST_LOOK)
        step = min(time / _TURN, _LARGEST_STEP)
        moved = self._log + step * (1 - min(use, _MOST_SEEN) - self._log * _TURN / _EVEN)
        self._log = min(0.0, max(moved, _SMALLEST))
        self.part = math.exp(self._log)

    def _relax(self, time: float, most: float = math.inf) -> None:
        """Let a part grow that nobody looked after: one so small that it allows no call would stay so for ever."""
        if time > 0:
            self._log = min(self._log * math.exp(-time / _EVEN), self._log + most)

    def _put_mark(self, remaining: int, now: float, span: float) -> None:
        self.part = math.exp(self._log)
        self._mark = remaining
        self._own = self.own
        self._seen_at = now
        soon = self._new or self.alone
        self.due = now + (min(span * _FIRST_LOOK, _LONGEST_FIRST_LOOK) if soon else span * _LOOK)
