from hypothesis import given
from hypothesis import strategies as st

from a1_trt.engine import TokenLedger
from a1_trt.types import Call, SampleKey, Segment


class Letters:
    """A tokenizer with a token a letter, moved by `shift`."""

    def __init__(self, shift=0):
        self.shift = shift
        self.fingerprint = f"letters {shift}"

    def encode(self, text, *, special=False):
        return [1 + self.shift] * special + [ord(letter) + self.shift for letter in text]

    def decode(self, token_ids):
        return "".join(chr(token - self.shift) for token in token_ids)

    def chat(self, system, user):
        return f"{system}|{user}|"


def call(*segments, kind="draft", problem="Q", sample=0):
    return Call(0, kind, SampleKey(0, sample), len(segments), problem, segments, 8, 0.8, 0)


def written(role, text):
    return Segment(role, text, len(text), tuple(ord(letter) for letter in text))


def ledger(shift=0, shared=("draft", "target")):
    tokenizer = Letters(shift)
    return TokenLedger(tokenizer, lambda problem: tokenizer.encode(problem, special=True), frozenset(shared))


@given(st.lists(st.tuples(st.sampled_from(["draft", "target"]), st.text("abc", min_size=1)), min_size=1))
def test_the_prompt_only_grows_and_splits_where_the_last_segment_starts(pieces):
    book, before = ledger(shift=1000, shared=()), []
    segments = [written(role, text) for role, text in pieces]
    for n in range(1, len(segments) + 1):
        prefix, last = book.split(call(*segments[:n], kind="score"))
        whole = book.prompt(call(*segments[:n]))
        assert prefix + last == whole
        assert whole[: len(before)] == before
        assert book.tokenizer.decode(last) == segments[n - 1].text
        before = list(whole)


def test_ids_pass_straight_through_when_the_tokenizer_is_shared():
    odd = Segment("draft", "ab", 1, (77,))  # one token that re-encoding would split
    assert ledger().prompt(call(odd))[-1:] == [77]
    assert ledger(shared=()).prompt(call(odd))[-2:] == [97, 98]


def test_an_answer_that_is_taken_back_cuts_the_chain_back():
    book = ledger()
    full, shorter = written("draft", "abc"), Segment("draft", "a", 3)
    assert len(book.prompt(call(full))) == 2 + 3
    assert book.prompt(call(shorter)) == [1, ord("Q"), ord("a")]
    assert book.prompt(call(shorter, written("target", "xy")))[2:] == [ord(letter) for letter in "axy"]


def test_finished_problems_are_forgotten():
    book = ledger()
    for sample in range(3):
        book.prompt(call(written("draft", "a"), sample=sample))
    book.forget(0, 3)
    assert not book._chains
    assert not book._prompts
