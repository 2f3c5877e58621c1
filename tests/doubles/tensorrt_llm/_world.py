"""Which TensorRT-LLM the double is, and which of its faults it shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class World:
    """The first three are faults of TensorRT-LLM, as read in its source; the rest are made up, for the canary."""

    version: str = "1.2.1"
    mixed_flags_misread: bool = True
    """With context logits for some requests of a batch only, rows behind the first one without are misread."""
    lists_and_nulls_fail: bool = True
    """A batch in which some requests carry additional_model_outputs and others None fails as a whole."""
    aborting_scores_crashes: bool = True
    """Aborting a request that returns logits or log-probs ends the engine."""
    gpu_logits_bytes: int | None = None
    """Memory for logits of prompts; more ends the engine."""
    company_shifts_rows: bool = False
    """With several prompts in a batch, additional outputs and context logits come out one row late."""
    prompts_spoil_writing: bool = False
    """Beside a prompt, requests that generate read the row of another one."""
    reuse_drifts: float = 0.0
    """Logits behind a cached prefix are off by up to this."""
    rows_padded: bool = False
    """The token dimension is padded, so that additional outputs of prompts are dropped."""
    hides_cached_tokens: bool = False
    """cached_tokens stays 0."""
    ignores_salt: bool = False
    """All requests share one cache."""
    held_logits_bytes: int = 0
    peak_logits_bytes: int = 0

    def at_least(self, version: str) -> bool:
        from packaging.version import Version

        return Version(self.version) >= Version(version)


WORLD = World()


def set_world(**faults: object) -> World:
    """Start anew with this version and these faults."""
    WORLD.__init__(**faults)  # type: ignore[misc]
    return WORLD
