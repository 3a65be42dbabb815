"""Answers with one to four changes, and an audit of what a transport made of them.

What the far end writes upon a request carries that request's mark all over, and no change makes one mark of another.
So what a transport hands over as the answer to a request tells whose it is.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

from wire_cases import chunked, head
from wire_kit import Outcome

MARK = re.compile(rb"\([a-z]{12}\)")
ERRORS = {"RemoteProtocolError", "ReadError", "ReadTimeout"}


def mark(number: int) -> bytes:
    """A word for a request: far from all the others, however it is changed."""
    return b"(" + bytes(random.Random(number).choices(b"abcdefghijklmnopqrstuvwxyz", k=12)) + b")"


def sized(word: str) -> bytes:
    return head(f"x: {word}", f"content-length: {3 * len(word)}", f"y: {word}") + 3 * word.encode()


def in_chunks(word: str) -> bytes:
    size = f"{len(word):x}"
    return chunked(
        *(f"{size};{word}\r\n{word}\r\n" for _ in range(3)), lines=(f"x: {word}",), end=f"0\r\nz: {word}\r\n\r\n"
    )


def to_the_end(word: str) -> bytes:
    return head(f"x: {word}") + 3 * word.encode()


def with_news(word: str) -> bytes:
    return head(f"x: {word}", status="103 Early Hints") + sized(word)


def twice(word: str) -> bytes:
    return sized(word) + in_chunks(word)


def without_body(word: str) -> bytes:
    return head(f"x: {word}", status="204 No Content") + sized(word)


ORIGINALS: list[Callable[[str], bytes]] = [sized, sized, in_chunks, to_the_end, with_news, twice, without_body]

SPICE = [
    *(bytes([byte]) for byte in b"\r\n\t \0:;,0159afxX-+\x7f\x80\xff"),
    *(b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"content-length: 0\r\n", b"content-length: 7\r\n"),
    *(b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"connection: keep-alive\r\n", b"upgrade: h2c\r\n"),
    *(b"HTTP/1.0", b"100 Continue", b"101 Switching", b"204 No", b"ffffffffffffffff", b"-1", b"18446744073709551616"),
]


def mutated(reply: bytes, chance: random.Random) -> bytes:
    data = bytearray(reply)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        length = min(chance.choice((1, 1, 1, 2, 5, 20)), len(data) - at)
        match chance.randrange(7):
            case 0 if length:
                data[at] ^= 1 << chance.randrange(8)
            case 1 if length:
                data[at] = chance.randrange(256)
            case 2:
                data[at:at] = chance.choice(SPICE)
            case 3:
                data[at : at + length] = chance.choice(SPICE)
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length * 3]
            case 6 if chance.random() < 0.3:
                del data[at:]
    return bytes(data)


def segments(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = [chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 1, 2, 5)))]
    if chance.random() < 0.3:  # where one answer ends and another begins
        cuts += [found.start() for found in re.finditer(rb"HTTP/", data)]
    cuts.sort()
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


class Audit:
    """Looks at each outcome.

    Attributes:
        outcomes: how many answers, and how many errors of which class.
        faults: what may never be: an answer of another request, or an error of another class.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self._marks: dict[bytes, int] = {}

    def look(self, number: int, outcome: Outcome) -> None:
        self.outcomes[outcome.error or "answer"] += 1
        self._marks[mark(number)] = number
        if outcome.error:
            if outcome.error not in ERRORS:
                self.faults.append(f"{number}: {outcome.error}")
            return
        reason = outcome.reason if isinstance(outcome.reason, bytes) else b""
        told = b"\n".join([reason, *(b"\n".join(pair) for pair in outcome.headers), outcome.body])
        if others := {self._marks.get(found[0], number) for found in MARK.finditer(told)} - {number}:
            self.faults.append(f"{number}: the answer of another request: {others}")
