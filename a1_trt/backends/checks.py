"""What engines check before they accept a request, and the errors that they share."""

from collections.abc import Sequence
from dataclasses import dataclass

from a1_trt.errors import ConfigError, ContextLengthError, EngineUnavailable, InvalidRequestError
from a1_trt.types import Role


@dataclass(frozen=True, slots=True)
class ArgumentChecks:
    role: Role
    max_context_tokens: int
    vocabulary: int | None = None

    def generate(self, prompt: Sequence[int], max_tokens: int) -> None:
        self._check_ids(prompt, "prompt")
        if max_tokens < 1:
            raise InvalidRequestError(f"max_tokens is {max_tokens}", field="max_tokens", remedy="ask for at least 1")
        self._check_length(len(prompt), max_tokens)

    def score(self, prompt: Sequence[int], segment: Sequence[int]) -> None:
        self._check_ids(prompt, "prompt")
        self._check_ids(segment, "segment")
        self._check_length(len(prompt), len(segment))

    def _check_ids(self, token_ids: Sequence[int], name: str) -> None:
        if not token_ids:
            raise InvalidRequestError(f"the {name} has no tokens", field=name, remedy="give at least one token")
        if self.vocabulary is not None and not 0 <= min(token_ids) <= max(token_ids) < self.vocabulary:
            message = f"the {name} holds token ids outside the vocabulary of {self.vocabulary}"
            raise InvalidRequestError(message, field=name, remedy="encode the text with this engine's own tokenizer")

    def _check_length(self, n_prompt: int, n_more: int) -> None:
        if n_prompt + n_more > self.max_context_tokens:
            message = (
                f"{n_prompt} prompt tokens and {n_more} more exceed the {self.role} engine's context of "
                f"{self.max_context_tokens}"
            )
            remedy = "shorten the prompt, ask for fewer tokens, or choose a model with a longer context"
            raise ContextLengthError(message, role=self.role, field="prompt", remedy=remedy)


def chat_turns(template: str | None, path: str, system: str, user: str) -> list[dict[str, str]]:
    """The turns for a tokenizer's chat template; a ConfigError where the model at `path` has none."""
    if not template:
        message = f"{path} has no chat template"
        remedy = 'write the prompt out, such as prompt = "{problem}\\n", instead of prompt = "chat"'
        raise ConfigError(message, path=path, field="prompt", remedy=remedy)
    return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": user}]


def closed(role: Role) -> EngineUnavailable:
    return EngineUnavailable(f"the {role} engine is closed", role=role, remedy="open a new session or engine")


def last_line(error: BaseException) -> str:
    """An error in one line: its type, and the last line of a library's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:300]}" if lines else type(error).__name__
