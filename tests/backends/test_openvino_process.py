"""A pipeline in a process of its own: it dies with its owner, and its own death is an error, not a hang."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from a1_trt.backends.openvino import OpenVinoEngine
from a1_trt.backends.openvino.pipeline import GenerateRequest, Setup
from a1_trt.backends.openvino.process import PipelineProcess
from a1_trt.errors import ConfigError, ContextLengthError, EngineUnavailable
from tests.places import REFERENCE

SETUP = Setup(REFERENCE / "target", "target", max_in_flight=4, n_blocks=64)


@pytest.fixture(scope="module")
def pipeline():
    started = PipelineProcess.start(SETUP)
    yield started
    started.close()
    started.close()
    assert started._worker.poll() is not None


def alive(pid: int) -> bool:
    """Whether a process still works: a dead one that nobody has waited for does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_requests_run_together_and_errors_keep_their_type(pipeline):
    async def main():
        good = [pipeline.run([5, 6, 7], GenerateRequest(4, seed=seed, temperature=0.8)) for seed in range(3)]
        outcomes = await asyncio.gather(*good, pipeline.run([5] * 3000, GenerateRequest(4)), return_exceptions=True)
        assert [len(each.token_ids) for each in outcomes[:3]] == [4, 4, 4]
        assert isinstance(outcomes[3], ContextLengthError)
        assert pipeline.in_flight == 0

    asyncio.run(main())


def test_a_cancelled_request_frees_its_place(pipeline):
    async def main():
        task = asyncio.create_task(pipeline.run([5, 6, 7], GenerateRequest(1900)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pipeline.in_flight == 0
        output = await asyncio.wait_for(
            pipeline.run([5] * 1800, GenerateRequest(2)), 60
        )  # more than fits beside the first one
        assert len(output.token_ids) == 2

    asyncio.run(main())


def test_no_thread_is_pinned():
    """Pipelines of one thread each, all pinned to the first core, would share it while the others are idle."""
    pipeline = PipelineProcess.start(replace(SETUP, threads=1))

    async def main():
        task = asyncio.create_task(pipeline.run([5, 6, 7], GenerateRequest(100)))
        seen = set()
        while not task.done():  # a thread is pinned only while it works
            for each in Path(f"/proc/{pipeline._worker.pid}/task").iterdir():
                with suppress(ProcessLookupError):
                    seen.add(len(os.sched_getaffinity(int(each.name))))
            await asyncio.sleep(0.02)
        return seen

    try:
        assert asyncio.run(main()) == {len(os.sched_getaffinity(0))}
    finally:
        pipeline.close()


def test_a_process_that_dies_fails_its_requests():
    pipeline = PipelineProcess.start(SETUP)

    async def main():
        task = asyncio.create_task(pipeline.run([5, 6, 7], GenerateRequest(1900)))
        await asyncio.sleep(0.05)
        os.kill(pipeline._worker.pid, signal.SIGKILL)
        with pytest.raises(EngineUnavailable, match="status -9"):
            await asyncio.wait_for(task, 60)
        with pytest.raises(EngineUnavailable):
            await pipeline.run([5, 6, 7], GenerateRequest(4))

    asyncio.run(main())
    pipeline.close()


def test_a_model_that_cannot_be_loaded_is_the_same_error_as_without_a_process(tmp_path):
    with pytest.raises(ConfigError) as caught:
        PipelineProcess.start(Setup(tmp_path, "draft", max_in_flight=1, n_blocks=4))
    assert caught.value.field == "model"


OWNER = """
import asyncio, sys
from pathlib import Path
from a1_trt.backends.openvino import OpenVinoEngine

async def main():
    engine = OpenVinoEngine.load(Path(sys.argv[1]), role="target")
    await engine.score([5], [6, 7])
    print(engine._generator._worker.pid, *(each._worker.pid for each in engine._scorers.values()), flush=True)
    await engine.generate([5], max_tokens=1900, temperature=0.8, seed=0)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_kill_9_of_the_owner_ends_its_processes():
    line = [sys.executable, "-c", OWNER, str(REFERENCE / "target")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        owner.kill()
    deadline_s = time.monotonic() + 60
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline_s, "a process outlives its owner"
        time.sleep(0.02)


def test_an_engine_leaves_no_process_behind():
    async def main():
        engine = await asyncio.to_thread(OpenVinoEngine.load, REFERENCE / "target", role="target")
        await engine.score([5], [6, 7])
        workers = [engine._generator._worker, *(each._worker for each in engine._scorers.values())]
        await engine.aclose()
        return workers

    assert all(worker.returncode is not None for worker in asyncio.run(main()))
