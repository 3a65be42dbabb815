"""The emulator in a process of its own: prints its settings, then answers lines on standard input.

`count` gives the events that have arrived so far, `inject` puts a fault in the way, `verdict` judges them all. The end
of input ends it.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections import Counter

from engine_verdict import judge

from dfinery_async.emulator import Emulator, Fault


def verdict(emulator: Emulator) -> dict[str, object]:
    requests = emulator.requests
    return {
        **judge(emulator.events),
        "requests": len(requests),
        "faults": sum(request.fault is not None for request in requests),
        "throttled": sum(request.code == 40401 for request in requests),
        "answers": dict(Counter(str(request.code) for request in requests)),
        "seconds": round(requests[-1].at - requests[0].at, 3) if requests else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quota", default="1000000/1m")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    gc.disable()  # millions of events are kept; looking through them again and again costs more than the answers
    with Emulator(quota={"events": chosen.quota}, keep_bodies=False, seed=chosen.seed) as emulator:
        for fault in chosen.fault:
            emulator.inject(Fault.parse(fault))
        say(emulator.environment)
        for line in sys.stdin:
            say(answer(emulator, line.strip()))


def answer(emulator: Emulator, question: str) -> object:
    what, _, about = question.partition(" ")
    match what:
        case "count":
            return len(emulator.events)
        case "inject":
            emulator.inject(Fault.parse(about))
            return None
        case _:
            return verdict(emulator)


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
