"""The event loop whose clock jumps."""

import asyncio
import socket
import time

import pytest

from a1_trt.errors import ProtocolError
from a1_trt.runtime.virtual_time import run


def now():
    return asyncio.get_running_loop().time()


def test_the_clock_starts_at_zero_and_jumps():
    async def main():
        before = now()
        await asyncio.sleep(1e6)
        return before, now()

    assert run(main()) == (0.0, 1e6)


def test_the_real_clock_is_never_read(monkeypatch):
    def forbidden(*_):
        raise AssertionError("the real clock was used")

    async def main():
        await asyncio.sleep(3600)
        async with asyncio.timeout(10):
            await asyncio.sleep(1)

    with monkeypatch.context() as patch:
        for name in ("time", "monotonic", "perf_counter", "sleep"):
            patch.setattr(time, name, forbidden)
        run(main())


def test_timers_fire_in_the_order_of_their_times():
    async def main():
        seen = []
        for delay in (0.3, 0.1, 0.2, 0.1 + 1e-12):
            asyncio.get_running_loop().call_later(delay, lambda delay=delay: seen.append((delay, now())))
        await asyncio.sleep(1)
        return seen

    assert run(main()) == [(delay, delay) for delay in (0.1, 0.1 + 1e-12, 0.2, 0.3)]


def test_timers_of_one_time_fire_together_however_late_it_is():
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        for name in "abc":
            loop.call_at(3e15, seen.append, name)
        await asyncio.sleep(3e15)
        return now(), sorted(seen)

    assert run(main(), limit_s=1e16) == (3e15, ["a", "b", "c"])


def test_sleep_timeout_wait_for_and_task_group():
    async def late(seconds):
        await asyncio.sleep(seconds)
        return now()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await late(5)
        assert now() == 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late(5), 3)
        assert now() == 5
        assert await asyncio.wait_for(late(1), 3) == 6
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(late(seconds)) for seconds in (3, 1, 2)]
        return [task.result() for task in tasks]

    assert run(main()) == [9, 7, 8]


def test_primitives_wake_their_waiters():
    async def main():
        queue, condition = asyncio.Queue(maxsize=1), asyncio.Semaphore(2)

        async def worker(number):
            async with condition:
                await asyncio.sleep(1)
            await queue.put(number)

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(worker(number))
            got = [await queue.get() for _ in range(6)]
        return sorted(got), now()

    assert run(main()) == (list(range(6)), 3.0)


def test_a_deadlock_is_an_error_that_names_the_tasks():
    cleaned = []

    async def stuck():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(now())

    async def main():
        await asyncio.sleep(4)
        await asyncio.create_task(stuck(), name="the stuck one")

    with pytest.raises(ProtocolError, match=r"^deadlock: 2 tasks wait for nothing: .*the stuck one \(.*stuck\)"):
        run(main())
    assert cleaned == [4.0]


def test_cleaning_up_after_a_deadlock_may_take_time():
    left = []

    async def main():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(10)
            left.append(now())

    with pytest.raises(ProtocolError, match="1 task waits for nothing"):
        run(main())
    assert left == [10.0]


def test_a_program_that_never_ends_is_an_error():
    async def main():
        while True:
            await asyncio.sleep(1)

    with pytest.raises(ProtocolError, match="would pass 100 s while 1 task waits"):
        run(main(), limit_s=100)


def test_cleaning_up_after_the_limit_may_take_time():
    left = []

    async def main():
        try:
            await asyncio.sleep(101)
        finally:
            await asyncio.sleep(500)
            left.append(now())

    with pytest.raises(ProtocolError, match="would pass 100 s"):
        run(main(), limit_s=100)
    assert left == [500.0]


def test_a_program_may_use_all_of_its_limit():
    async def main():
        await asyncio.sleep(100)

    run(main(), limit_s=100)


def test_exceptions_come_out():
    async def main():
        await asyncio.sleep(1)
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        run(main())


def test_tasks_that_are_left_are_cancelled():
    seen = []

    async def forever():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append(now())
            raise

    async def main():
        task = asyncio.create_task(forever())
        await asyncio.sleep(1)
        return task

    assert run(main()).cancelled()
    assert seen == [1.0]


def test_threads_are_refused():
    async def main():
        with pytest.raises(ProtocolError, match="no threads"):
            await asyncio.to_thread(lambda: None)
        with pytest.raises(ProtocolError, match="no threads"):
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)

    run(main())


def test_sockets_are_refused():
    async def main(pipe):
        with pytest.raises(NotImplementedError):
            await asyncio.open_connection(sock=pipe)

    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        run(main(one))


def test_loops_do_not_share_their_time():
    async def main():
        await asyncio.sleep(7)
        return now()

    assert [run(main()), run(main())] == [7.0, 7.0]
