"""Token-level speculative decoding as an engine of its own: the library peer of the strategies.

In each iteration the draft proposes k tokens, one after another, and the target checks them all at once. With a chance
beta that a token is accepted, an iteration yields E = (1 - beta^(k + 1)) / (1 - beta) tokens on average (Leviathan,
Kalman, Matias, "Fast Inference from Transformers via Speculative Decoding", ICML 2023, arXiv 2211.17192, eq. 1)::

    overhead    target's + k * (draft's overhead_s + weights_s + sync_s)
    arithmetic  k + 1 tokens and rows of the target, k of the draft, for each sequence
    context     read once by the target, k times by the draft

Both models stand on the target's GPUs. The context grows by a token an iteration here, not by E, so that reading it is
underestimated in long chains; a batch wastes what its sequences reject, which this has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.simulate.workload import Workload


@dataclass(frozen=True, slots=True)
class Speculation:
    """How the draft speculates.

    Args:
        n_tokens: Tokens proposed at once, k.
        acceptance: Chance that one is accepted, beta. 0.7 is an assumption; 0.5 to 0.9 are reported for such pairs.

    Example:
        >>> round(Speculation(4, 0.7).tokens_per_iteration, 2)
        2.77
    """

    n_tokens: int = 4
    acceptance: float = 0.7

    def __post_init__(self) -> None:
        if not 1 <= self.n_tokens <= 64:
            message = f"speculative_tokens is {self.n_tokens}"
            raise InvalidRequestError(message, field="speculative_tokens", remedy="choose 1 to 64")
        if not 0.0 <= self.acceptance < 1.0:
            message = f"acceptance is {self.acceptance}"
            raise InvalidRequestError(message, field="acceptance", remedy="choose a chance in [0, 1)")

    @property
    def tokens_per_iteration(self) -> float:
        return float((1 - self.acceptance ** (self.n_tokens + 1)) / (1 - self.acceptance))

    def plan(self, draft: EnginePlan, target: EnginePlan) -> EnginePlan:
        """The target's engines with the draft inside."""
        k, small, large = self.n_tokens, draft.costs, target.costs
        drafted_s = small.decode_s_per_token_sequence + small.s_per_logit_row
        decode_s = (k + 1) * large.decode_s_per_token_sequence + k * drafted_s + k * large.s_per_logit_row
        costs = replace(
            large,
            overhead_s=large.overhead_s + k * (small.overhead_s + small.weights_s + small.sync_s),
            decode_s_per_token_sequence=decode_s,
            s_per_pair=large.s_per_pair * (k + 1),
            kv_s_per_context_token=large.kv_s_per_context_token + k * small.kv_s_per_context_token,
            sync_s_per_token=(k + 1) * large.sync_s_per_token,
        )
        return replace(target, costs=costs)

    def workload(self, workload: Workload) -> Workload:
        """The same chains in iterations instead of tokens, where the target writes them alone."""
        about = {**workload.about, "speculative_tokens": self.n_tokens, "acceptance": self.acceptance}
        return replace(workload, tokens_per_iteration=self.tokens_per_iteration, about=about)
