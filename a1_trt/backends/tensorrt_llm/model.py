"""Qwen2 and Llama for TensorRT-LLM's PyTorch backend, which also give the log-prob of every prompt token.

Importing this module registers them under the names of the architectures that they replace, in this process and in
every worker process: a worker imports the module because the `LoggingConfigLoader` that it is sent comes from here.
Import it only where tensorrt_llm is installed.

With the whole [prompt, vocabulary] matrix of logits a score would cost gigabytes of memory and of traffic between
processes; with this it costs four bytes a token. Has not been run on a GPU.
"""

from typing import Any

from tensorrt_llm._torch.models.checkpoints import HfCheckpointLoader
from tensorrt_llm._torch.models.checkpoints.hf.config_loader import HfConfigLoader

# The originals have to be registered before they are replaced, or their own import would undo it.
from tensorrt_llm._torch.models.modeling_llama import LlamaForCausalLM
from tensorrt_llm._torch.models.modeling_qwen import Qwen2ForCausalLM
from tensorrt_llm._torch.models.modeling_utils import register_auto_model

from a1_trt.backends.tensorrt_llm.scorers import OUTPUT
from a1_trt.backends.tensorrt_llm.token_logprobs import token_logprobs


class _WithLogprobs:
    model: Any
    lm_head: Any
    logits_processor: Any
    model_config: Any

    def forward(
        self,
        attn_metadata: Any,
        input_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        return_context_logits: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        hidden = self.model(
            attn_metadata=attn_metadata,
            input_ids=input_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        logits = self.logits_processor.forward(hidden, self.lm_head, attn_metadata, return_context_logits)
        return {"logits": logits, OUTPUT: self._logprobs(hidden, input_ids, attn_metadata)}

    def _logprobs(self, hidden: Any, input_ids: Any, attn_metadata: Any) -> Any:
        """One row a token, prompts first; tokens that are being generated have no row with a number in it."""
        values = hidden.new_full((hidden.shape[0], 1), float("nan")).float()
        n_prompt_tokens = attn_metadata.num_ctx_tokens
        # Only the last stage of a pipeline has the head.
        if n_prompt_tokens and self.model_config.mapping.is_last_pp_rank():
            values[:n_prompt_tokens] = token_logprobs(
                hidden[:n_prompt_tokens],
                self.lm_head,
                input_ids[:n_prompt_tokens],
                attn_metadata.seq_lens_cuda[: attn_metadata.num_contexts],
                vocabulary=self.model_config.pretrained_config.vocab_size,
            )
        return values


@register_auto_model("Qwen2ForCausalLM")
class LoggingQwen2ForCausalLM(_WithLogprobs, Qwen2ForCausalLM):  # type: ignore[misc]
    """Qwen2 that gives log-probs."""


@register_auto_model("LlamaForCausalLM")
class LoggingLlamaForCausalLM(_WithLogprobs, LlamaForCausalLM):  # type: ignore[misc]
    """Llama that gives log-probs."""


class LoggingConfigLoader(HfConfigLoader):  # type: ignore[misc]
    """Reads a model's configuration as ever; its being unpickled makes a worker import this module."""


def checkpoint_loader() -> Any:
    """What `LLM` takes as ``checkpoint_loader`` so that its workers register the models above."""
    return HfCheckpointLoader(config_loader=LoggingConfigLoader())
