"""One request to an `LLM`: checks, sampling parameters, submission, its end."""

from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.backends.checks import last_line
from a1_trt.backends.tensorrt_llm.runtime import tensorrt_llm
from a1_trt.engine import Generation
from a1_trt.errors import ContextLengthError, EngineError, EngineOverloaded, EngineTimeout, EngineUnavailable
from a1_trt.types import Role

_SIGNS: dict[type[EngineError], tuple[str, ...]] = {
    EngineOverloaded: ("maximum queue size", "out of memory"),
    EngineUnavailable: ("shutting down", "shut down", "died"),
    ContextLengthError: ("max_num_tokens", "max_seq_len", "max_input_len"),
    EngineTimeout: ("timed out",),
}
"""Words by which the messages of tensorrt_llm are told apart; its exceptions share few types."""


class Requests:
    """Hands requests to an `LLM`, and turns what it raises into typed errors."""

    def __init__(self, llm: Any, role: Role, end_ids: frozenset[int]) -> None:
        self.llm = llm
        self._role = role
        self._end_ids = end_ids

    def sampling(self, max_tokens: int, *, temperature: float, seed: int, more: Mapping[str, Any]) -> Any:
        how = {"temperature": temperature, "seed": seed} if temperature > 0.0 else {"top_k": 1}
        ends = sorted(self._end_ids)
        return tensorrt_llm().SamplingParams(
            max_tokens=max_tokens,
            end_id=ends[0] if ends else -1,  # -1: no token ends a text
            pad_id=ends[0] if ends else 0,
            stop_token_ids=ends[1:] or None,
            detokenize=False,
            **how,
            **more,
        )

    def submit(self, tokens: Sequence[int], sampling: Any, *, salt: str | None) -> Any:
        try:
            return self.llm.generate_async(list(tokens), sampling, cache_salt=salt)
        except Exception as error:
            raise typed_error(error, self._role) from error

    async def finished(self, output: Any) -> Any:
        """The output once it is complete, or the typed error that ended it."""
        try:
            done = await output.aresult()
        except Exception as error:
            raise typed_error(error, self._role) from error
        reason = done.outputs[0].finish_reason
        if reason == "timeout":
            raise EngineTimeout(f"the {self._role} engine gave a request up", role=self._role)
        if reason not in ("stop", "length"):
            raise EngineUnavailable(f"the {self._role} engine ended a request as {reason!r}", role=self._role)
        return done

    def generation(self, answer: Any) -> Generation:
        """What a CompletionOutput says, without the token that ended it."""
        ids = list(answer.token_ids or ())
        ended = answer.finish_reason == "stop"
        while ended and ids and ids[-1] in self._end_ids:
            ids.pop()
        return Generation(tuple(int(token) for token in ids), ended)


def typed_error(error: Exception, role: Role) -> EngineError:
    if isinstance(error, EngineError):
        return error
    kind = EngineTimeout if isinstance(error, TimeoutError) else EngineError
    if type(error).__name__ == "EngineDeadError":
        kind = EngineUnavailable
    if kind is EngineError:
        text = str(error).lower()
        kind = next((kind for kind, signs in _SIGNS.items() if any(sign in text for sign in signs)), EngineError)
    remedy = "start it again, and see its log" if kind is EngineUnavailable else None
    return kind(f"the {role} engine failed: {last_line(error)}", role=role, remedy=remedy)
