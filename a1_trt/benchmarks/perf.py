"""NVIDIA's perf_analyzer against the served models: input files, sweeps, and its results as ours."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from a1_trt.benchmarks.statistics import percentiles
from a1_trt.engine import Tokenizer
from a1_trt.errors import ConfigError, DeployError, EngineTimeout, InvalidRequestError
from a1_trt.types import Problem

Model = Literal["a1", "draft", "target"]
Protocol = Literal["grpc", "http"]
Mode = Literal["concurrency", "request_rate"]
VARIABLE = "A1_TRT_PERF_ANALYZER"
_INSTALL = f"pip install perf-analyzer, or name the binary with --perf-analyzer or {VARIABLE}"
_NS_PER_MS = 1e6
_UNSTABLE = "Failed to obtain stable measurement"
"""What perf_analyzer says when its windows did not agree within `max_trials`; it writes no results then."""
_STABLE_PERCENT, _ANY_PERCENT = 25, 999
"""By how many per cent windows may differ: usually, and where their differing is not to matter."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Measurements that perf_analyzer is to take.

    `a1` answers with any number of responses, which HTTP's infer cannot carry. `values` are requests in flight or
    arrivals a second, by `mode`, one measurement each; `interval_s` is the length of one of perf_analyzer's windows, of
    which it tries `max_trials` until three agree; `timeout_s` bounds one measurement.
    """

    model: Model = "a1"
    protocol: Protocol = "grpc"
    mode: Mode = "concurrency"
    values: tuple[float, ...] = (1, 2, 4)
    interval_s: float = 5.0
    max_trials: int = 10
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        whole = self.mode == "request_rate" or all(value == int(value) for value in self.values)
        if not self.values or min(self.values) <= 0 or not whole:
            message = f"{self.mode} is {list(self.values)}"
            raise InvalidRequestError(message, field=self.mode, remedy="give numbers above 0, such as 1,2,4")
        if self.model == "a1" and self.protocol == "http":
            raise InvalidRequestError(
                "a1 is decoupled, and HTTP's infer has one response a request",
                field="protocol",
                remedy="measure a1 over grpc, and draft or target over http",
            )


def find_perf_analyzer(named: Path | None = None) -> Path:
    name = str(named or os.environ.get(VARIABLE) or "perf_analyzer")
    path = shutil.which(name)
    if path is None:
        raise ConfigError(f"there is no program {name!r}", path=name, field="perf_analyzer", remedy=_INSTALL)
    return Path(path)


def a1_inputs(problems: Sequence[Problem], settings: dict[str, Any]) -> dict[str, Any]:
    options = {name: [value] for name, value in settings.items() if value is not None}
    return {"data": [{"problem": [problem.text], **options} for problem in problems]}


def engine_inputs(prompts: Sequence[Sequence[int]], *, max_tokens: int) -> dict[str, Any]:
    """perf_analyzer's input data for `draft` and `target`: `max_tokens` new tokens after each prompt, int[n_prompt]."""
    return {
        "data": [
            {
                "input_ids": {"content": list(prompt), "shape": [len(prompt)]},
                "input_lengths": [len(prompt)],
                "request_output_len": [max_tokens],
                "temperature": [0.8],
                "seed": [number],
            }
            for number, prompt in enumerate(prompts)
        ]
    }


def prompts_of(problems: Sequence[Problem], tokenizer: Tokenizer) -> list[list[int]]:
    return [tokenizer.encode(problem.text, special=True) for problem in problems]


def command(
    binary: Path, sweep: Sweep, value: float, url: str, data: Path, export: Path, differ_by: int = _STABLE_PERCENT
) -> list[str]:
    flag = "--concurrency-range" if sweep.mode == "concurrency" else "--request-rate-range"
    level = f"{value:g}"
    return [
        *(str(binary), "-m", sweep.model, "-i", sweep.protocol, "-u", url),
        *(["--streaming"] if sweep.model == "a1" else []),
        *("--input-data", str(data), flag, f"{level}:{level}:1"),
        *("--measurement-interval", str(round(1000 * sweep.interval_s))),
        *("--max-trials", str(sweep.max_trials)),
        *("--stability-percentage", str(differ_by), "--percentile", "95"),
        *("--profile-export-file", str(export)),
    ]


def measure(binary: Path, sweep: Sweep, url: str, inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Take the measurements of a sweep, one after the other, and yield a dictionary of each, ready for JSON.

    Where windows do not agree it is taken once more without asking that of them, and is not `stable`. `url` is
    ``host:port`` of the sweep's protocol.
    """
    with tempfile.TemporaryDirectory(prefix="a1-trt-perf-") as directory:
        data, export = Path(directory, "inputs.json"), Path(directory, "export.json")
        data.write_text(json.dumps(inputs), encoding="utf-8")
        for value in sweep.values:
            export.unlink(missing_ok=True)
            for differ_by in (_STABLE_PERCENT, _ANY_PERCENT):
                argv = command(binary, sweep, value, url, data, export, differ_by)
                if _run(argv, sweep):
                    break
            yield {
                "model": sweep.model,
                "protocol": sweep.protocol,
                "mode": sweep.mode,
                "value": value,
                "stable": differ_by == _STABLE_PERCENT,
                **_figures(_exported(export, sweep.model)),
                "command": argv,
            }


def _run(argv: list[str], sweep: Sweep) -> bool:
    """Whether its windows agreed."""
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            argv, capture_output=True, text=True, timeout=sweep.timeout_s, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired:
        message = f"perf_analyzer took longer than {sweep.timeout_s:g} s"
        raise EngineTimeout(message, remedy="raise --timeout or lower the load") from None
    except OSError as error:
        raise ConfigError(f"{argv[0]} cannot be run: {error.strerror}", path=argv[0], remedy=_INSTALL) from None
    if done.returncode and _UNSTABLE in done.stderr + done.stdout:
        return False
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise DeployError(
            f"perf_analyzer failed with status {done.returncode}: {lines[-1] if lines else 'no message'}",
            model=sweep.model,
            remedy="check that the server at --url is ready and serves this model",
        )
    return True


def _environment() -> dict[str, str]:
    """This one, in which a proxy is not asked for this machine."""
    names = [name for name in (os.environ.get("no_proxy"), "localhost", "127.0.0.1", "::1") if name]
    return {**os.environ, "no_proxy": ",".join(names)}


def _exported(export: Path, model: str) -> list[dict[str, Any]]:
    try:
        experiments = json.loads(export.read_text(encoding="utf-8"))["experiments"]
        requests: list[dict[str, Any]] = experiments[0]["requests"]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        raise DeployError("perf_analyzer wrote no results", model=model, remedy="give it a longer --interval") from None
    answered = [request for request in requests if request.get("response_timestamps")]
    if not answered:
        raise DeployError("no request was answered", model=model, remedy="give it a longer --interval")
    return answered


def _figures(requests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Throughput and latency of the requests, to their last response: perf_analyzer itself counts to the first one."""
    latencies_ms = [(request["response_timestamps"][-1] - request["timestamp"]) / _NS_PER_MS for request in requests]
    first_ns = min(request["timestamp"] for request in requests)
    span_s = (max(request["response_timestamps"][-1] for request in requests) - first_ns) / 1e9
    return {
        "n_requests": len(requests),
        "requests_per_s": len(requests) / span_s,
        "latency_ms": percentiles(latencies_ms, (50, 90, 95, 99)),
    }
