"""Train one model of the reference pair from scratch, on a CPU.

    python build_scripts/reference/train.py target --output checkpoints/target
    python build_scripts/reference/train.py draft  --output checkpoints/draft

Both roles read the same text (`task.py`) through the same tokenizer; only their size and their number of
steps differ. The checkpoint is an ordinary Hugging Face directory (LlamaForCausalLM). Needs torch and
transformers; see requirements.txt beside this file. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import task
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

IGNORED = -100
END = "<|end|>"
TOKENIZER_STEPS = 8
"""Steps of the problems from which the tokenizer learns its merges."""


@dataclass(frozen=True)
class Recipe:
    """What a role is made of, and how long it is trained."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    passes: tuple[Pass, ...]
    tokens_per_step: int
    mistake_rate: float
    seed: int


@dataclass(frozen=True)
class Pass:
    """One warm-up and cosine decay with an optimizer of its own; it reads text that no other pass reads.

    `lengths` are the fewest and the most steps of the problems in it; with `misread`, mistakes are also made in reading
    the problem (see `task.corrupted_working`).
    """

    steps: int
    learning_rate: float
    lengths: tuple[int, int]
    misread: bool = False


RECIPES = {
    "target": Recipe(
        8,
        384,
        1024,
        6,
        passes=(Pass(3600, 1e-3, (2, 12)), Pass(1000, 5e-4, (6, 13)), Pass(450, 4e-4, (3, 10), misread=True)),
        tokens_per_step=4096,
        mistake_rate=0.10,  # the target learns to notice and repair mistakes
        seed=1,
    ),
    "draft": Recipe(
        2,
        128,
        384,
        8,
        passes=(Pass(5000, 3e-3, (2, 8)),),
        tokens_per_step=4096,
        mistake_rate=0.0,  # the draft only reads flawless workings
        seed=2,
    ),
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in which every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng, source = random.Random(0), task.problems(0, TOKENIZER_STEPS, test=False)
    corpus = [example_text(next(source), rng, 0.10)[0] for _ in range(500)]
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def example_text(
    problem: task.Problem, rng: random.Random, mistake_rate: float, *, misread: bool = False
) -> tuple[str, list[tuple[int, int]]]:
    """One training text and the character spans that carry no loss: the problem and every mistake."""
    text = problem.text + "\n"
    unlearned = [(0, len(text))]
    for piece, mistaken in task.corrupted_working(problem, rng, mistake_rate, misread=misread):
        if mistaken:
            unlearned.append((len(text), len(text) + len(piece)))
        text += piece
    return text, unlearned


def encode(
    tokenizer: PreTrainedTokenizerFast, text: str, unlearned: list[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """Token ids and labels of one example; a token that touches an unlearned span is ignored."""
    encoding = tokenizer.backend_tokenizer.encode(text)
    labels = [
        IGNORED if any(start < stop and end > begin for begin, stop in unlearned) else token
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
    ]
    end = tokenizer.eos_token_id
    return [*encoding.ids, end], [*labels, end]


def batches(
    tokenizer: PreTrainedTokenizerFast, recipe: Recipe, lesson: Pass, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Padded batches of training examples of one length each, without end."""
    rng = random.Random(seed)
    sources = {n: task.problems(seed, n, test=False) for n in range(lesson.lengths[0], lesson.lengths[1] + 1)}
    while True:
        n_steps = rng.choice(list(sources))
        width = 32 + 32 * n_steps  # few distinct shapes: every new one costs the CPU kernels a compilation
        size = max(1, recipe.tokens_per_step // width)
        rows = [
            encode(tokenizer, *example_text(next(sources[n_steps]), rng, recipe.mistake_rate, misread=lesson.misread))
            for _ in range(size)
        ]
        rows = [(ids[:width], labels[:width]) for ids, labels in rows]
        ids = torch.full((size, width), tokenizer.pad_token_id)
        labels = torch.full((size, width), IGNORED)
        for row, (row_ids, row_labels) in enumerate(rows):
            ids[row, : len(row_ids)] = torch.tensor(row_ids)
            labels[row, : len(row_labels)] = torch.tensor(row_labels)
        yield ids, labels


@torch.no_grad()
def exact_workings(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, level: str, count: int = 64) -> float:
    """Share of held-out workings whose every token is the model's first choice (teacher forced)."""
    source, right = task.problems(99, task.LEVELS[level], test=True), 0
    for _ in range(count):
        problem = next(source)
        text = problem.text + "\n"
        ids, labels = encode(tokenizer, text + task.working(problem), [(0, len(text))])
        chosen = model(input_ids=torch.tensor([ids])).logits[0, :-1].argmax(-1)
        wanted = torch.tensor(labels[1:])
        right += bool(((chosen == wanted) | (wanted == IGNORED)).all())
    return right / count


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A model of the recipe's shape with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def run_pass(
    model: LlamaForCausalLM, lesson: Pass, data: Iterator[tuple[torch.Tensor, torch.Tensor]], label: str
) -> int:
    """Train for one pass and return how many tokens were read."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=lesson.learning_rate, betas=(0.9, 0.95), weight_decay=0.05, fused=True
    )
    warmup = max(1, min(200, lesson.steps // 10))

    def rate(step: int) -> float:
        return min((step + 1) / warmup, 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(step / lesson.steps, 1))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    started, seen, running = time.monotonic(), 0, math.nan
    for step, (ids, labels) in zip(range(1, lesson.steps + 1), data, strict=False):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        seen += ids.numel()
        running = loss.item() if step == 1 else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 0 or step == lesson.steps:
            elapsed = time.monotonic() - started
            left = elapsed / step * (lesson.steps - step) / 60
            print(
                f"{label} {step}/{lesson.steps} loss {running:.4f} {seen / elapsed:.0f} tok/s, {left:.1f} min left",
                file=sys.stderr,
            )
    return seen


def train(role: str, output: Path, resume: Path | None) -> None:
    """Run a role's passes, each from where the last one ended, and save after every pass."""
    recipe, done = RECIPES[role], 0
    torch.manual_seed(recipe.seed)
    tokenizer = make_tokenizer()
    model = make_model(recipe, tokenizer)
    record = {"role": role, **asdict(recipe), "parameters": model.num_parameters(), "tokens": 0, "minutes": 0.0}
    if resume:
        model = LlamaForCausalLM.from_pretrained(resume)
        record |= json.loads((resume / "training.json").read_text())
        done = record["passes_done"]
    for index, lesson in enumerate(recipe.passes[done:], start=done):
        started = time.monotonic()
        data = batches(tokenizer, recipe, lesson, recipe.seed + 1000 * index)
        record["tokens"] += run_pass(model, lesson, data, f"{role} pass {index + 1}")
        record["minutes"] += round((time.monotonic() - started) / 60, 1)
        record |= {"passes_done": index + 1, "threads": torch.get_num_threads(), "torch": torch.__version__}
        exact = {level: exact_workings(model, tokenizer, level) for level in task.LEVELS}
        print(f"{role}: exact held-out workings {exact}", file=sys.stderr)
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
        (output / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=RECIPES)
    parser.add_argument("--output", type=Path, required=True, help="directory of the checkpoint")
    parser.add_argument("--resume", type=Path, help="directory of a checkpoint whose passes are not to be repeated")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.output.mkdir(parents=True, exist_ok=True)
    train(arguments.role, arguments.output, arguments.resume)


if __name__ == "__main__":
    main()
