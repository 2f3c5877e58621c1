"""The tensors of the models "draft", "target" and "a1"."""

from __future__ import annotations

from dataclasses import dataclass

from a1_trt.requests import INPUTS


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a Triton model; dimensions are without the batch, -1 is any.

    Args:
        data_type: Triton's word, without ``TYPE_``.
        scalar: One number a request: ``[1]`` outside the model, no dimension inside.
        ragged: Requests of different length may share a batch.
    """

    name: str
    data_type: str
    dims: tuple[int, ...] = (1,)
    optional: bool = False
    scalar: bool = False
    ragged: bool = False


def _ids(name: str) -> Tensor:
    return Tensor(name, "INT32", (-1,), optional=True, ragged=True)


def _number(name: str, data_type: str, *, optional: bool = True) -> Tensor:
    return Tensor(name, data_type, optional=optional, scalar=True)


ENGINE_INPUTS = (
    _ids("input_ids"),
    _number("input_lengths", "INT32", optional=False),
    _number("request_output_len", "INT32", optional=False),
    _ids("draft_input_ids"),
    _number("end_id", "INT32"),
    _number("temperature", "FP32"),
    _number("runtime_top_k", "INT32"),
    _number("runtime_top_p", "FP32"),
    _number("seed", "UINT64"),
    _number("return_log_probs", "BOOL"),
    _number("streaming", "BOOL"),
    _number("stop", "BOOL"),
)

ENGINE_OUTPUTS = (
    Tensor("output_ids", "INT32", (-1, -1)),
    Tensor("sequence_length", "INT32", (-1,)),
    Tensor("output_log_probs", "FP32", (-1, -1)),
    Tensor("num_input_tokens", "INT32"),
    Tensor("num_output_tokens", "INT32"),
)

A1_INPUTS = tuple(Tensor(name, data_type, optional=name != "problem") for name, data_type in INPUTS.items())

USAGE = ("n_scored", "n_takeovers", "n_unscored", "n_stopped", "draft_tokens", "target_tokens", "scored_tokens")
"""Fields of `a1_trt.types.Usage` that are outputs of a1."""

A1_OUTPUTS = (
    Tensor("answer", "STRING"),
    Tensor("vote_answers", "STRING", (-1,)),
    Tensor("vote_counts", "INT32", (-1,)),
    Tensor("rejection_rate", "FP32"),
    *(Tensor(name, "INT32") for name in USAGE),
    Tensor("wall_s", "FP32"),
    Tensor("event", "STRING"),
)
