import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1_trt import errors
from a1_trt.errors import A1Error, InvalidRequestError, from_wire

KINDS = sorted(errors._tree(A1Error).values(), key=lambda kind: kind.code)
WORDS = st.text("abc xyz,.0123()", min_size=1).map(str.strip).filter(bool)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_error_crosses_the_wire(kind):
    back = from_wire(
        f"[StatusCode.INTERNAL] in ensemble: {kind('it broke', field='alpha', remedy='mend it').to_wire()}"
    )
    assert type(back) is kind
    assert (back.message, back.field, back.remedy) == ("it broke", "alpha", "mend it")


@given(message=WORDS, field=st.none() | st.just("n_samples"), remedy=st.none() | WORDS)
def test_any_words_cross_the_wire(message, field, remedy):
    back = from_wire(InvalidRequestError(message, field=field, remedy=remedy).to_wire())
    assert (back.message, back.field, back.remedy) == (message, field, remedy)


def test_codes_are_unique_and_foreign_text_is_none():
    assert len(KINDS) == len({kind.code for kind in KINDS})
    assert from_wire("unexpected inference input 'foo' for model 'a1'") is None
    assert from_wire("") is None


def test_an_invalid_request_is_also_a_value_error():
    with pytest.raises(ValueError, match="too large"):
        raise InvalidRequestError("too large")
