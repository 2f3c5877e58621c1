"""A1 as a Controller of tensorrt_llm.scaffolding, on the strict double of it."""

from __future__ import annotations

import asyncio
import copy
import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine, TransformersTokenizer
from a1_trt.config import make_pair
from a1_trt.core.conformal import SCORES, make_controller
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import EngineError
from a1_trt.runtime.driver import CallRunner
from a1_trt.runtime.opening import ledgers_of
from a1_trt.runtime.session import Session
from a1_trt.types import Logprobs, Parameters, Problem, SampleEnd, Segment
from tests.doubles import installed
from tests.places import ROOT

PARAMETERS = Parameters(n_samples=4, max_turns=3, draft_tokens=9, target_tokens=7, seed=5)


@pytest.fixture
def a1() -> Iterator[Any]:
    with installed.tensorrt_llm():
        yield importlib.import_module("a1_trt.backends.scaffolding")
        for name in [name for name in sys.modules if name.startswith("a1_trt.backends.scaffolding")]:
            del sys.modules[name]


def scheduler(**limits: int) -> Scheduler:
    return Scheduler(make_controller("two-level"), SCORES["perplexity"], {"draft": 50, "target": 50} | limits)


def framework(a1: Any, caller: Any, board: Scheduler, parameters: Parameters = PARAMETERS, workers: Any = None) -> Any:
    from tensorrt_llm.scaffolding import ScaffoldingLlm

    controller = a1.A1Controller(board, parameters, caller.forget)
    return ScaffoldingLlm(controller, a1.make_workers(caller) if workers is None else workers)


class Script:
    """A caller that writes what a test says: text by sample and turn, and slowly where it says nothing."""

    def __init__(self, texts: Any, score: Any = -1.0) -> None:
        self.texts, self.score = texts, score
        self.busy = Counter[str]()
        self.most = Counter[str]()
        self.forgotten: list[tuple[int, int]] = []
        self.made: list[str] = []

    def forget(self, problem: int, n_samples: int) -> None:
        self.forgotten.append((problem, n_samples))

    async def make(self, call: Any) -> Any:
        self.busy[call.role] += 1
        self.most |= self.busy
        self.made.append(call.kind)
        try:
            await asyncio.sleep(0)
            if call.kind == "score":
                return Logprobs((self.score,)) if isinstance(self.score, float) else self.score
            text = self.texts(call)
            if text is None:
                await asyncio.sleep(30)
            return text if isinstance(text, EngineError) else Segment(call.role, text or "x", 1)
        finally:
            self.busy[call.role] -= 1


async def engines_of(model: Path) -> dict[Any, TensorRtLlmEngine]:
    settings = {"model": str(model), "max_seq_len": 301, "kv_cache_config": {"enable_partial_reuse": False}}
    how = {"tokenizer": installed.CharacterTokenizer(), "end_ids": frozenset([0])}
    return {role: await TensorRtLlmEngine.open(settings, role=role, **how) for role in ("draft", "target")}


def test_a_sample_is_what_a_session_makes_of_it(a1: Any, tmp_path: Path) -> None:
    model = installed.checkpoint(tmp_path)
    role = {"model": str(model), "engine": "tensorrt_llm"}
    pair = make_pair({"name": "p", "draft": role, "target": role})
    how = Parameters(n_samples=1, max_turns=4, draft_tokens=9, target_tokens=7, seed=5)
    texts = [f"What is {number} + 30?" for number in range(3)]

    async def scenario() -> None:
        engines = await engines_of(model)
        caller = CallRunner(engines, ledgers_of(pair, engines))
        llm = framework(a1, caller, scheduler(), how)
        outputs = [(await llm.generate_async(text)).cur_output for text in texts]
        async with Session(pair, engines) as session:
            for text, output in zip(texts, outputs, strict=True):
                problem = Problem(text, id=blake2b(text.encode(), digest_size=8).hexdigest())
                wanted = await session.solve(problem, how)
                assert output.result.trajectories == wanted.trajectories
                assert output.outputs[0].text == wanted.trajectories[0].text
                assert output.result.usage.n_scored > 0

    asyncio.run(scenario())


def test_requests_share_the_scheduler_and_its_limits(a1: Any) -> None:
    async def scenario() -> None:
        board, script = scheduler(draft=3, target=2), Script(lambda call: f"step {call.turn}. ")
        llm = framework(a1, script, board)
        outputs = await asyncio.gather(*(llm.generate_async(f"problem {number}") for number in range(8)))
        assert all(len(output.cur_output.result.trajectories) == 4 for output in outputs)
        n_scored = sum(output.cur_output.result.usage.n_scored for output in outputs)
        assert n_scored == 8 * 4 * 3
        assert script.most == {"draft": 3, "target": 2}
        assert sorted(script.forgotten) == [(number, 4) for number in range(8)]
        assert not board.in_flight

    asyncio.run(scenario())


def test_a_settled_vote_stops_the_other_samples(a1: Any) -> None:
    async def scenario() -> Any:
        script = Script(lambda call: r"\boxed{7}" if call.key.sample < 3 else None)
        async with asyncio.timeout(10):
            result = await framework(a1, script, scheduler()).generate_async("problem")
        assert script.busy.total() == 0
        return result.cur_output

    output = asyncio.run(scenario())
    ends = [trajectory.end for trajectory in output.result.trajectories]
    assert ends == [SampleEnd.ANSWERED] * 3 + [SampleEnd.STOPPED]
    assert output.result.answer == "7"
    assert output.outputs[0].text == output.text == r"\boxed{7}"
    assert output.outputs[0].answer == "7"


def test_a_barrier_holds_the_samples(a1: Any) -> None:
    async def scenario() -> list[str]:
        script = Script(lambda call: f"step {call.turn}. ")
        how = Parameters(n_samples=4, max_turns=2, admission="barrier", alpha=0.01)
        await framework(a1, script, scheduler(), how).generate_async("problem")
        return script.made

    made = asyncio.run(scenario())
    assert made[:8] == ["draft"] * 4 + ["score"] * 4


def test_failures_end_their_sample_only(a1: Any) -> None:
    async def scenario() -> Any:
        def texts(call: Any) -> Any:
            return EngineError("broken", role="draft") if call.key.sample == 1 else r"\boxed{1}"

        how = Parameters(n_samples=4, early_stop=False)
        return (await framework(a1, Script(texts), scheduler(), how).generate_async("problem")).cur_output

    trajectories = asyncio.run(scenario()).result.trajectories
    assert [one.end for one in trajectories].count(SampleEnd.FAILED) == 1
    assert isinstance(trajectories[1].error, EngineError)


def test_a_request_of_which_nothing_works_fails(a1: Any) -> None:
    async def scenario() -> None:
        script = Script(lambda call: EngineError("broken", role="draft"))
        board = scheduler()
        with pytest.raises(Exception, match="failed"):
            await framework(a1, script, board).generate_async("problem")
        assert not board.in_flight

    asyncio.run(scenario())


def test_a_task_that_no_worker_takes_is_a_failure_and_never_a_score(a1: Any) -> None:
    async def scenario() -> Any:
        script = Script(lambda call: f"step {call.turn}. ")
        workers = a1.make_workers(script)
        workers[a1.WorkerTag.SCORE] = workers[a1.WorkerTag.TARGET]  # has no handler for exactly this type
        how = Parameters(n_samples=2, max_turns=2, on_score_error="fail")
        with pytest.raises(Exception, match="failed"):
            await framework(a1, script, scheduler(), how, workers).generate_async("problem")
        return script.made

    assert asyncio.run(scenario()) == ["draft", "draft"]


def test_handlers_are_of_exact_types_and_of_their_own_worker(a1: Any) -> None:
    from tensorrt_llm.scaffolding import Task, Worker

    assert Worker.task_handlers == {}
    for worker, taken in [(a1.DraftWorker, a1.DraftTask), (a1.ScoreWorker, a1.ScoreTask)]:
        assert taken in worker.task_handlers
        assert a1.A1Task not in worker.task_handlers
        assert Task not in worker.task_handlers
    assert a1.DraftTask not in a1.TargetWorker.task_handlers


def test_copies_of_a_controller_share_what_requests_share(a1: Any) -> None:
    from tensorrt_llm.scaffolding import Controller

    class Wrapper(Controller):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

    controller = a1.A1Controller(scheduler(), PARAMETERS, lambda *_: None)
    for copied in (controller.clone(), copy.deepcopy(controller), Wrapper(controller).clone().inner):
        assert copied is not controller
        assert copied._bridge is controller._bridge
        assert copied.task_collections is not controller.task_collections


def test_giving_a_request_up_stops_its_work(a1: Any) -> None:
    async def scenario() -> None:
        board, script = scheduler(), Script(lambda call: None)
        llm = framework(a1, script, board)
        llm.generate_async("problem")
        await asyncio.sleep(0.01)
        assert script.busy.total() == 4
        for request in list(llm.requests):
            request.cancel()
        await asyncio.sleep(0.01)
        assert script.busy.total() == 0

    asyncio.run(scenario())


def test_the_example_of_the_page_runs(
    a1: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tokenizer of ours: transformers is not among the packages that tests need."""
    role = f'engine = "tensorrt_llm"\nmodel = "{installed.checkpoint(tmp_path / "model")}"\n[{{0}}.sampling]'
    limits = "[scheduler]\nn_samples = 3\nmax_turns = 2"
    parts = [f"[{name}]\n{role.format(name)}\nsegment_tokens = 9" for name in ("draft", "target")]
    (tmp_path / "pair.toml").write_text("\n".join(['name = "p"', limits, *parts]), encoding="utf-8")
    tokenizer = installed.CharacterTokenizer()
    tokenizer.end_ids = frozenset([0])
    monkeypatch.setattr(TransformersTokenizer, "load", lambda _: tokenizer)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    (example,) = [found for found in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "ScaffoldingLlm" in found]
    exec(compile(example, "example", "exec"), {"__name__": "example"})  # noqa: S102  our own page
    assert capsys.readouterr().out.strip()


def test_without_the_framework_the_package_cannot_be_imported() -> None:
    with pytest.raises(ImportError, match="tensorrt_llm"):
        importlib.import_module("a1_trt.backends.scaffolding")
