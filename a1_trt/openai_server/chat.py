"""A chat request: what it asks for, checked, in the words of the method."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from a1_trt.errors import InvalidRequestError
from a1_trt.openai_server.failures import Refused
from a1_trt.requests import Options, check_problem, make_options
from a1_trt.types import Parameters, Problem

MAX_BODY_BYTES = 4 * 1024 * 1024
_MAX_CHOICES = 128
_SEEDS = 2**63

# What clients send that changes nothing here.
_IGNORED = {
    "metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
    "service_tier", "store", "user",
}  # fmt: skip
# Fields of OpenAI's that are not on offer, with the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("audio", "prediction", "reasoning_effort", "web_search_options"), ()),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "top_logprobs"), (0,)),
    **dict.fromkeys(("function_call", "tool_choice"), ("none", "auto")),
    **dict.fromkeys(("functions", "tools"), ([],)),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "top_p": (1,),
    "verbosity": ("medium",),
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    type: str
    text: str | None = None


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    include_usage: bool = False


class _A1(BaseModel):
    """What is not OpenAI's; the extra fields are parameters, which are checked where all callers' are."""

    model_config = ConfigDict(extra="allow", strict=True)
    id: str | None = Field(default=None, min_length=1, max_length=256)
    deadline_s: Any = None
    events: bool | None = None
    trajectories: bool | None = None


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    model: str = Field(max_length=200)
    messages: list[_Message] = Field(min_length=1, max_length=4096)
    n: int | None = Field(None, ge=1, le=_MAX_CHOICES)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    temperature: float | None = None
    seed: int | None = Field(None, ge=-_SEEDS, lt=_SEEDS)
    max_tokens: int | None = Field(None, ge=1, lt=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, lt=2**31)
    a1: Annotated[_A1, BeforeValidator(lambda value: {} if value is None else value)] = _A1()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a request asks for.

    Args:
        problem: The problem; its id takes part in every seed.
        n_choices: Chains to give back.
        stop: Texts before which an answer is cut off.
        include_usage: Whether the stream ends with the usage.
        events: Whether to tell every event in the stream.
        trajectories: Whether to give back all chains in full.
    """

    problem: Problem
    options: Options
    n_choices: int = 1
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False
    events: bool = False
    trajectories: bool = False

    @property
    def parameters(self) -> Parameters:
        return self.options.parameters


def read_request(data: bytes, defaults: Parameters, model: str) -> ChatRequest:
    """What a body, JSON, asks of the model of this name, with the pair's parameters as defaults.

    Raises:
        InvalidRequestError: A parameter or a message is wrong; `field` names it.
        Refused: The model is another one, the body is no chat request, or asks for what is not on offer.

    Example:
        >>> body = b'{"model": "mine", "messages": [{"role": "user", "content": "1 + 1?"}], "a1": {"n_samples": 4}}'
        >>> request = read_request(body, Parameters(), "mine")
        >>> request.problem.text, request.parameters.n_samples
        ('1 + 1?', 4)
    """
    body = _parsed(data)
    if body.model != model:
        raise no_such_model(body.model, remedy=f"ask for {model!r}")
    _check_offer(body)
    text = problem_text(body.messages)
    options = _options(body, defaults)
    try:
        problem = check_problem(text, id=body.a1.id or Problem(text).key)
    except InvalidRequestError as error:
        error.field = "messages"
        raise
    return ChatRequest(
        problem=problem,
        options=options,
        n_choices=body.n or 1,
        stop=tuple(filter(None, [body.stop] if isinstance(body.stop, str) else body.stop or [])),
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        events=bool(body.a1.events),
        trajectories=bool(body.a1.trajectories),
    )


def problem_text(messages: Iterable[_Message]) -> str:
    """The conversation as one problem: a lone user message as it is, after a system message if there is one.

    Earlier turns are written out with the name of who spoke, because a pair's prompt has one place, the problem's.
    """
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    for index, message in enumerate(messages):
        text = _text(message, f"messages.{index}")
        (system.append(text) if message.role in ("system", "developer") else turns.append((message.role, text)))
    if not turns or turns[-1][0] != "user":
        remedy = "end with a message of role user"
        raise InvalidRequestError("the last message is not the user's", field="messages", remedy=remedy)
    spoken = [turns[0][1]] if len(turns) == 1 else [f"{role.capitalize()}: {text}" for role, text in turns]
    return "\n\n".join([*system, *spoken])


def _text(message: _Message, place: str) -> str:
    if message.role not in ("system", "developer", "user", "assistant"):
        raise _not_offered(f"the role {message.role!r}", f"{place}.role", "use system, user and assistant")
    for name in ("tool_calls", "function_call", "audio"):
        if (message.model_extra or {}).get(name):
            raise _not_offered(name, f"{place}.{name}", "send text")
    if isinstance(message.content, str):
        return message.content
    texts = []
    for part in message.content or []:
        if part.type != "text" or part.text is None:
            raise _not_offered(f"content of type {part.type!r}", f"{place}.content", "send text")
        texts.append(part.text)
    return "\n".join(texts)


def _parsed(data: bytes) -> _Body:
    try:
        return _Body.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        remedy = "see OpenAI's reference of chat completions"
        raise Refused(f"{field or 'the body'}: {first['msg']}", field=field, remedy=remedy) from None


def _check_offer(body: _Body) -> None:
    for name, value in (body.model_extra or {}).items():
        if value is None or name in _IGNORED or value in _NEUTRAL.get(name, ()):
            continue
        if name in _NEUTRAL:
            raise _not_offered(name, name, "leave it out")
        raise Refused(f"{name[:100]!r} is no field of a request", reason="unknown_parameter", field=name[:100],
                      remedy="leave it out; the parameters of A1 go into the object a1")  # fmt: skip
    if body.stream_options is not None and not body.stream:
        raise Refused("stream_options is given without stream", field="stream_options", remedy="set stream to true")


def no_such_model(name: str, remedy: str | None = None) -> Refused:
    message = f"the model {name!r} does not exist"
    return Refused(message, status=404, reason="model_not_found", field="model", remedy=remedy)


def _not_offered(what: str, field: str, remedy: str) -> Refused:
    return Refused(f"{what} is not supported", reason="unsupported_parameter", field=field, remedy=remedy)


def _options(body: _Body, defaults: Parameters) -> Options:
    """How to solve the problem; OpenAI's own fields come before those of the object a1."""
    named = body.a1.model_extra or {}
    given = {name: value for name, value in named.items() if value is not None}
    if body.temperature is not None:
        given["temperature"] = body.temperature
    if max_tokens := body.max_completion_tokens or body.max_tokens:
        given["max_chain_tokens"] = max_tokens
    # Who gives no seed expects another answer the next time; the one that was drawn is told, so it can be had again.
    if body.seed is not None:
        given["seed"] = body.seed % _SEEDS
    given.setdefault("seed", secrets.randbits(53))
    n = body.n or 1
    if n > 1:  # who asks for several chains expects as many samples
        given.setdefault("n_samples", n)
    try:
        options = make_options(defaults, given, body.a1.deadline_s)
    except InvalidRequestError as error:
        if error.field in named or error.field == "deadline_s":
            error.field = f"a1.{error.field}"
        raise
    return _with_choices(n, options)


def _with_choices(n: int, options: Options) -> Options:
    """What it takes to have `n` chains to give back."""
    n_samples = options.parameters.n_samples
    if n > n_samples:
        raise InvalidRequestError(f"n is {n}", field="n", remedy=f"choose at most a1.n_samples = {n_samples}")
    # A settled vote may leave fewer chains with an answer than are asked for.
    is_settled_too_early = 2 * n > n_samples and "early_stop" not in options.given
    return options.changed(early_stop=False) if is_settled_too_early else options
