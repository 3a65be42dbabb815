"""Work in threads: nobody leaves while a thread works, and one thing follows the other."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dfinery_async.runtime.threads import Behind, in_thread

pytestmark = pytest.mark.asyncio


def broken():
    raise LookupError("the first")


async def test_a_cancelled_caller_waits_for_the_thread_and_is_cancelled_then():
    go_on = threading.Event()
    waiting = asyncio.create_task(in_thread(go_on.wait, 10))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_one_thing_follows_the_other_while_the_next_is_prepared():
    go_on, done = threading.Event(), []

    def first():
        assert go_on.wait(10)
        done.append("first")

    async with Behind() as behind:
        await behind.start(first)
        assert done == []
        second = asyncio.create_task(behind.start(done.append, "second"))
        await asyncio.sleep(0)
        assert not second.done()
        go_on.set()
        await second
    assert done == ["first", "second"]


async def test_the_next_start_or_the_end_hears_what_was_wrong():
    with pytest.raises(LookupError):
        async with Behind() as behind:
            await behind.start(broken)
    async with Behind() as behind:
        await behind.start(broken)
        with pytest.raises(LookupError):
            await behind.start(list)


async def test_an_error_of_the_block_comes_before_that_of_the_thread():
    with pytest.raises(KeyError):
        async with Behind() as behind:
            await behind.start(broken)
            raise KeyError
