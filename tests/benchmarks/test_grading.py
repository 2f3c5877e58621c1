"""Answers are right or wrong for mathematical reasons, in bounded time."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from a1_trt.benchmarks.grading import all_correct, is_correct, workers
from a1_trt.benchmarks.grading.workers import WORKERS, Worker
from a1_trt.core.reasoning import boxed
from a1_trt.errors import ConfigError
from tests.places import SHARED

ENDLESS = "9^{9^{9^{9}}}"
DATASETS = SHARED / "datasets"


@pytest.mark.parametrize(
    ("answer", "truth", "expected"),
    [
        ("42", "42", True),
        (" 042 ", "42", True),
        ("1,000", "1000", True),
        ("-0", "0", True),
        ("41", "42", False),
        ("-42", "42", False),
        (None, "42", False),
        ("", "42", False),
        ("nonsense", "42", False),
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{2}{4}", r"\frac12", True),
        (r"\frac{1}{3}", "0.5", False),
        (r"2\sqrt{2}", r"\sqrt{8}", True),
        ("x+1", "1+x", True),
        ("(1,2)", "(1, 2)", True),
        ("(1,2)", "(2,1)", False),
        ("84/2", "42", True),
    ],
)
def test_answers_are_compared_by_their_mathematics(answer: str | None, truth: str, expected: bool) -> None:
    assert is_correct(answer, truth) is expected


def test_integers_need_no_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise AssertionError("algebra was asked")

    monkeypatch.setattr(WORKERS, "equal", refuse)
    assert is_correct("7", "007")
    assert not is_correct("7", "8")


# What graders of mathematics are known to get wrong, and forms that data sets are full of.
@pytest.mark.parametrize(
    ("answer", "truth", "expected"),
    [
        ("pi/2", r"\frac{\pi}{2}", True),
        ("(3, pi/2)", r"\left( 3, \frac{\pi}{2} \right)", True),
        ("2*pi", r"2\pi", True),
        ("-1 + exp(16)", "e^{16} - 1", True),
        (r"\sqrt{1/n}", r"\frac{1}{\sqrt{n}}", True),
        ("sqrt(1/n)", r"\sqrt{\frac{1}{n}}", True),
        (r"\sqrt{x^2}", "x", False),
        (r"4\sqrt(2)", "4", False),
        (r"4\sqrt(2)", r"4\sqrt{2}", True),
        (r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}", False),
        (r"\frac{1}{2006!}", r"\frac{1}{2004!}", False),
        ("0.3333333", r"\frac{1}{3}", True),
        ("0.333", r"\frac{1}{3}", False),
        ("n=1, 2, 3", "n=2, 3, 4", False),
        ("D = (0, 1.5)", "D = (0, 1)", False),
        ("21, 36, and 82", r"19, 46, \text{ and } 82", False),
        (r"1 + \frac{1}{\mathrm{e}}", r"1 - \frac{1}{\mathrm{e}}", False),
        (r"1, 3, 5, \ldots, 2n-1", r"1, 2, \ldots, n", False),
        ("2021", r"\pm 2021", False),
        ("1:00", "12:00", False),
        ("3x+4y+14=0", "3x-y+13=0", False),
        (r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", True),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 5 \end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", False),
        ("[0,1)", "[0,1)", True),
        ("[0,1)", "(0,1)", False),
        ("90", r"90^\circ", True),
        ("90 degrees", r"90^\circ", True),
        ("91", r"90^\circ", False),
        ("5", r"5\text{ cm}", True),
        ("6 cm", r"5\text{ cm}", False),
        ("50\\%", "0.5", True),
        (r"2516_{8}", "2516_8", True),
        ("2516", "2516_8", True),
        ("2517", "2516_8", False),
        ("2516_7", "2516_8", False),
        ("Evelyn", r"\text{Evelyn}", True),
        (r"\text{(C)}", "C", True),
        ("B", r"\text{(C)}", False),
        ("x" * 20_000, "42", False),
        ("1, 234", "1234", False),
        ("1234", "1, 234", False),
        ("100200", "100, 200", False),
        ("12345", "12, 345", False),
        ("100200300", "100, 200, 300", False),
        ("100, 200", "100,  200", True),
        ("1234", "1,234", True),
        ("11111111100", r"11,\! 111,\! 111,\! 100", True),
        ("11/2", "1 1/2", False),
        ("1 1/2", r"\frac{3}{2}", True),
        ("-1 1/2", "-1.5", True),
        ("2 1/2", "2.5", True),
        ("3 1/4", "13/4", True),
        ("31/4", "3 1/4", False),
        ("23", "2 3", False),
        ("5", "2 3", False),
        ("6", "2 3", False),
        ("345", "3 4 5", False),
        (r"1\ 2", "12", False),
        ("1 000", "0", False),
        (r"\,", "0", False),
        ("$", "$", False),
    ],
)
def test_known_errors_of_graders_are_none_here(answer: str, truth: str, expected: bool) -> None:
    assert is_correct(answer, truth) is expected


@pytest.mark.parametrize(
    ("answer", "truth", "other"),
    [
        ("½", r"\frac{1}{2}", "1/3"),
        ("2½", "2.5", "10.5"),
        ("√2", r"\sqrt{2}", "2"),
        ("2√(3)", r"\sqrt{12}", r"\sqrt{6}"),
        ("x²", "x^2", "2x"),
        ("5²", "25", "52"),
        ("2516₈", "2516_8", "2516_7"),
        ("90°", r"90^\circ", r"9^\circ"),
        ("∞", r"\infty", r"-\infty"),
        ("–5", "-5", "5"),
        ("−5", "-5", "5"),
        ("π/2", r"\frac{\pi}{2}", r"\pi"),
        ("3×4", "12", "7"),
        ("４２", "42", "24"),
        ("٤٢", "42", "24"),
        ("5\u200b", "5", "6"),
        ("\ufeff5", "5", "6"),
        ("1e5", "100000", "5e"),
        ("**5**", "5", "25"),
        (r"\[5\]", "5", "6"),
        ("=42", "42", "43"),
        ("42;", "42", "43"),
        ("€42", "42", "43"),
        ("$18.90", "18.9", "18"),
        ("1{,}000", "1000", "1"),
        ("5 km/h", "5", "6"),
        ("5 m/s", "5", "5/s"),
        ("5 dollars", "5", "6"),
        (r"\text{5 hours}", "5", "6"),
        (r"\emptyset", r"\varnothing", "0"),
        (r"\left\{1,2\right\}", r"\{2,1\}", r"\{1,3\}"),
        ("10%", "0.1", "0.2"),
        (r"2\frac12", "2.5", "1"),
        (".5", "0.5", "5"),
    ],
)
def test_common_signs_and_units_are_read_on_both_sides(answer: str, truth: str, other: str) -> None:
    assert all_correct([(answer, truth), (truth, answer), (answer, other), (other, answer)]) == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("answer", "truth"),
    [(r"0.\overline{3}", r"\frac{1}{3}"), (r"\sin 30^\circ", r"\frac{1}{2}"), ("5 x", "5"), ("3–5", "-2")],
)
def test_what_is_not_read_is_wrong(answer: str, truth: str) -> None:
    assert not is_correct(answer, truth)


def test_a_box_that_does_not_end_is_wrong() -> None:
    assert not is_correct(boxed(r"first \boxed{42}, then \boxed{4"), "42")
    assert is_correct(boxed(r"first \boxed{41}, then \boxed{42}"), "42")


def test_a_comparison_that_never_ends_is_wrong_and_the_next_one_works() -> None:
    worker = Worker()
    try:
        assert worker.equal("1/2", "0.5", 10.0)
        killed = worker._process
        assert killed is not None
        assert not worker.equal(ENDLESS, "1/2", 1.0)
        assert killed.poll() is not None
        assert worker.equal("1/2", "0.5", 10.0)
    finally:
        worker.stop()


def test_a_worker_that_died_is_replaced() -> None:
    worker = Worker()
    try:
        assert worker.equal("1/2", "0.5", 10.0)
        assert worker._process is not None
        worker._process.kill()
        worker._process.wait()
        assert worker.equal("1/2", "0.5", 10.0)
    finally:
        worker.stop()


def test_many_are_compared_in_their_order_and_a_hanging_one_stops_no_other() -> None:
    pairs = [("1/2", "0.5"), (ENDLESS, "1/2"), ("1/3", "0.5"), (None, "1"), ("7", "7"), ("pi/2", r"\frac{\pi}{2}")]
    assert all_correct(pairs * 3, timeout_s=2.0) == [True, False, False, False, True, True] * 3


def test_it_works_beside_a_running_event_loop() -> None:
    async def main() -> list[bool]:
        here = is_correct("1/2", "0.5")
        elsewhere = await asyncio.gather(*(asyncio.to_thread(is_correct, "2/4", "0.5") for _ in range(3)))
        return [here, *elsewhere]

    assert asyncio.run(main()) == [True] * 4


@pytest.mark.long
@pytest.mark.skipif(not DATASETS.is_dir(), reason="the data sets are not here")
@pytest.mark.parametrize("name", ["math500", "amc23", "aime24", "aime25"])
def test_the_truth_is_right_also_where_only_algebra_can_tell(name: str) -> None:
    truths = [json.loads(line)["answer"] for line in (DATASETS / f"{name}.jsonl").read_text().splitlines()]
    assert all(all_correct([(truth, truth) for truth in truths]))
    different = sorted({truth for truth in truths if not truth.isdecimal()})
    with ThreadPoolExecutor(workers.N_WORKERS) as threads:
        verdicts = list(threads.map(lambda truth: WORKERS.equal(truth, truth, 10.0), different))
    wrong = [truth for truth, right in zip(different, verdicts, strict=True) if not right]
    assert wrong == []


def test_it_works_off_the_main_thread() -> None:
    verdicts: list[bool] = []
    thread = threading.Thread(target=lambda: verdicts.append(is_correct("1/2", "0.5")))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install math-verify") as caught:
        is_correct("1/2", "0.5")
    assert caught.value.field == "math-verify"
