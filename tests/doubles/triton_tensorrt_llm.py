"""A strict double of TensorRT-LLM's Triton model `tensorrt_llm`, for Triton's Python backend.

It has every tensor of the recorded contract and refuses a request that the real model would refuse, or would answer
in a way that nobody wants silently: a missing or misshapen tensor, a parameter left as a placeholder. A small real
model behind it writes and scores. The file `fault` in the model's directory, as long as it is there, names a fault:

trim      generation logits end with the first draft token that is not the likeliest
discard   draft tokens beyond eight are dropped, as in a full batch
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from a1_trt.backends.openvino import OpenVinoEngine, OpenVinoTokenizer
from a1_trt.triton.request_loop import RequestLoop, TritonRequest

TYPES = {
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT64": np.uint64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_BOOL": np.bool_,
    "TYPE_STRING": np.object_,
}
UNDERSTOOD = {
    "input_ids", "input_lengths", "request_output_len", "draft_input_ids", "end_id", "pad_id", "stop_words_list",
    "temperature", "runtime_top_k", "runtime_top_p", "seed", "return_context_logits", "return_generation_logits",
    "return_perf_metrics", "exclude_input_in_output", "streaming", "stop",
}  # fmt: skip
BLOCK = 32


class Refused(Exception):
    """The request is wrong."""


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        left = [key for key, value in parameters.items() if "${" in value]
        if left or len(parameters) != 45:
            raise pb_utils.TritonModelException(f"{len(parameters)} parameters, placeholders in {left}")
        self.inputs = {tensor["name"]: tensor for tensor in config["input"]}
        self.reuses = parameters["enable_kv_cache_reuse"] == "true"
        self.excludes = parameters["exclude_input_in_output"] == "true"
        model = Path(parameters["gpt_model_path"])
        role = "draft" if args["model_name"].startswith("draft") else "target"
        self.engine = OpenVinoEngine.load(model, role=role)
        self.vocabulary = OpenVinoTokenizer.load(model).native.get_vocab()
        self.n_vocabulary = max(self.vocabulary.values()) + 1
        self.seen: list[tuple[int, ...]] = []
        # Where a test can read what was asked.
        self.record = Path(args["model_repository"]) / "asked.jsonl"
        self.switch = Path(args["model_repository"]) / "fault"
        self.loop = RequestLoop(pb_utils, self.answer, poll_s=0.05, on_poll=lambda: self.engine.in_flight == 0)

    async def execute(self, requests: list[Any]) -> None:
        self.loop.start(requests)

    def finalize(self) -> None:
        self.loop.close(self.engine.aclose)

    async def answer(self, request: TritonRequest) -> None:
        try:
            said = self.read(request)
            await self.work(request, said)
        except Refused as error:
            from a1_trt.errors import InvalidRequestError

            raise InvalidRequestError(str(error)) from None

    def read(self, request: TritonRequest) -> dict[str, Any]:
        """Every tensor of the request, of the shape that this model sees: a reshaped scalar has the batch's only."""
        said = {}
        for name, tensor in self.inputs.items():
            given = pb_utils.get_input_tensor_by_name(request._request, name)
            if given is None:
                if not tensor.get("optional"):
                    raise Refused(f"{name} is missing")
                continue
            array = given.as_numpy()
            dims = [int(size) for size in tensor["dims"]]
            wanted = [] if "reshape" in tensor else dims
            if array.dtype != TYPES[tensor["data_type"]] or array.shape[0] != 1 or array.ndim != 1 + len(wanted):
                raise Refused(f"{name} is {array.dtype} {array.shape}")
            if any(size not in (-1, found) for size, found in zip(wanted, array.shape[1:], strict=True)):
                raise Refused(f"{name} has the shape {array.shape}, not {wanted}")
            if name not in UNDERSTOOD:
                raise Refused(f"{name} is not something that a1 asks for")
            said[name] = array[0].item() if array.ndim == 1 else array[0].tolist()
        with self.record.open("a") as file:
            file.write(json.dumps({"id": request.id, **said}) + "\n")
        return said

    async def work(self, request: TritonRequest, said: dict[str, Any]) -> None:
        if "input_ids" not in said or said["input_lengths"] != len(said["input_ids"]):
            raise Refused("input_lengths is not the number of input_ids")
        if said.get("stop"):
            self.loop.stop(request.id)
            request.send({}, final=True)
            return
        if said.get("streaming"):
            raise Refused("streaming needs a decoupled model")
        if "end_id" not in said or "pad_id" not in said:
            raise Refused("without end_id and pad_id it would generate to the end of its room")
        prompt, draft = tuple(said["input_ids"]), said.get("draft_input_ids", [])
        reused = self.reuse(prompt)
        outputs: dict[str, Any] = {"kv_cache_reused_blocks": np.array([[reused]], np.int32)}
        if draft:
            if said["request_output_len"] < len(draft) + 1:
                raise Refused("draft tokens do not fit request_output_len")
            outputs |= await self.verified(prompt, draft, said)
        else:
            outputs |= await self.generated(prompt, said)
        if said.get("return_context_logits"):
            outputs["context_logits"] = await self.context(prompt, reused)
        request.send(outputs, final=True)

    def reuse(self, prompt: tuple[int, ...]) -> int:
        """Whole blocks that an earlier prompt has in common; at least one token is always computed."""
        common = [_n_common(prompt, before) for before in self.seen] if self.reuses else []
        self.seen.append(prompt)
        return min(max(common, default=0), len(prompt) - 1) // BLOCK

    async def generated(self, prompt: tuple[int, ...], said: dict[str, Any]) -> dict[str, Any]:
        top_k, top_p = said.get("runtime_top_k", 0), said.get("runtime_top_p", 0.0)
        # As the backend does: neither of them is greedy, whatever the temperature.
        greedy = top_k == 1 or (top_k == 0 and top_p == 0.0)
        temperature = 0.0 if greedy else said.get("temperature", 1.0)
        written = await self.engine.generate(
            prompt, max_tokens=said["request_output_len"], temperature=temperature, seed=said.get("seed", 0)
        )
        ids = list(written.token_ids) + ([said["end_id"]] if written.ended else [])
        ids = ids[: said["request_output_len"]]
        if not said.get("exclude_input_in_output", self.excludes):
            ids = [*prompt, *ids]
        return {
            "output_ids": np.array(ids, np.int32).reshape(1, 1, -1),
            "sequence_length": np.array([[len(ids)]], np.int32),
        }

    async def verified(self, prompt: tuple[int, ...], draft: list[int], said: dict[str, Any]) -> dict[str, Any]:
        """One row for the last prompt token and for each draft token."""
        fault = self.switch.read_text() if self.switch.exists() else ""
        if fault == "discard":
            draft = draft[:8]
        rows = await self.rows(prompt, [*draft, said["end_id"]])
        if fault == "trim":
            accepted = [index for index, token in enumerate(draft) if rows[index].argmax() != token]
            rows = rows[: accepted[0] + 1] if accepted else rows
        logits = {"generation_logits": rows[None, None]} if said.get("return_generation_logits") else {}
        return {
            **logits,
            "output_ids": np.array(draft, np.int32).reshape(1, 1, -1),
            "sequence_length": np.array([[len(draft)]], np.int32),
        }

    async def rows(self, prompt: tuple[int, ...], following: list[int]) -> Any:
        """Logits whose softmax gives each token of `following` its true probability; shifted, as logits may be."""
        values = np.array(await self.engine.score(prompt, following))
        rest = np.log(np.maximum(-np.expm1(values), 1e-30) / (self.n_vocabulary - 1))
        rows = np.repeat(rest[:, None], self.n_vocabulary, axis=1)
        rows[np.arange(len(following)), following] = values
        return (rows + 3.25).astype(np.float32)

    async def context(self, prompt: tuple[int, ...], reused: int) -> Any:
        """A row for each prompt token; those that came from the cache are never written."""
        rows = np.full((len(prompt), self.n_vocabulary), 77.0, np.float32)
        first = reused * BLOCK
        if first < len(prompt) - 1:
            rows[first:-1] = await self.rows(prompt[: first + 1], list(prompt[first + 1 :]))
        rows[-1] = 0.0
        return rows[None]


def _n_common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
