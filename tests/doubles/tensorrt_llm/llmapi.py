from tensorrt_llm._llm import (
    LLM,
    CapacitySchedulerPolicy,
    ContextChunkingPolicy,
    CudaGraphConfig,
    KvCacheConfig,
    SamplingParams,
    SchedulerConfig,
)

__all__ = [
    "LLM",
    "CapacitySchedulerPolicy",
    "ContextChunkingPolicy",
    "CudaGraphConfig",
    "KvCacheConfig",
    "SamplingParams",
    "SchedulerConfig",
]
