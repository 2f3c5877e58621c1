"""One request to an `LLM`: checks, sampling parameters, submission, its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.backends.tensorrt_llm.failures import typed_error
from a1_trt.backends.tensorrt_llm.runtime import tensorrt_llm
from a1_trt.engine import Generation
from a1_trt.errors import EngineTimeout, EngineUnavailable
from a1_trt.types import Role


class Requests:
    """Hands requests to an `LLM`, and turns what it raises into typed errors.

    Args:
        llm: The `tensorrt_llm.LLM`.
        role: "draft" or "target", for error messages.
        end_ids: Tokens that end a text.
    """

    def __init__(self, llm: Any, role: Role, end_ids: frozenset[int]) -> None:
        self.llm = llm
        self._role = role
        self._end_ids = end_ids

    def sampling(self, max_tokens: int, *, temperature: float, seed: int, more: Mapping[str, Any]) -> Any:
        """Parameters of a request; temperature 0 is greedy.

        Args:
            max_tokens: Most new tokens.
            temperature: Sampling temperature.
            seed: Seed of the sampling.
            more: Further parameters.
        """
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
        """Hand a request to the engine: its RequestOutput."""
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
