"""Results as if they had been solved."""

from __future__ import annotations

from a1_trt.types import Problem, Result, SampleEnd, Segment, Trajectory, Turn, Usage


def turn(score: float | None, takeover: bool, text: str = "a") -> Turn:
    segments = [Segment("draft", text, 3)]
    if takeover:
        segments.append(Segment("target", "b", 5))
    return Turn(tuple(segments), score, None if score is None else 0.25, takeover)


def solved(name: str, answers: list[str | None], *, truth: str = "7", taken: int = 0, stopped: int = 0) -> Result:
    """A problem whose samples gave these answers; the first `taken` were taken over, further ones were stopped."""
    chains = [
        Trajectory(
            n,
            (turn(1.5 + n, n < taken), turn(None, False)),
            SampleEnd.ANSWERED if answer is not None else SampleEnd.EXHAUSTED,
            answer,
        )
        for n, answer in enumerate(answers)
    ]
    chains += [Trajectory(len(answers) + n, (turn(2.0, False),), SampleEnd.STOPPED, None) for n in range(stopped)]
    votes = tuple((answer, answers.count(answer)) for answer in dict.fromkeys(answers) if answer is not None)
    best = max(votes, key=lambda vote: vote[1])[0] if votes else None
    usage = Usage(draft_tokens=100, target_tokens=10, n_scored=len(chains), n_takeovers=taken, n_stopped=stopped)
    return Result(Problem(f"What is {name}?", name, truth), best, votes, tuple(chains), usage, wall_s=2.0)
