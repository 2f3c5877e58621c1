"""The KV cache by lengths gives what the one by token ids gives."""

from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.simulate.engine_model.chain_cache import Chain, ChainCache
from tests.doubles.simulated.kv_cache import KvCache

N_PROMPT = 9


def tokens_of(problem, sample, n):
    prompt = [problem * 1000 + i for i in range(N_PROMPT)]
    return (prompt + [1_000_000 + problem * 10_000 + sample * 1000 + i for i in range(n)])[:n]


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(1, 12), st.integers(0, 6), st.booleans()),
    min_size=1,
    max_size=40,
)


class Both:
    """Drives the two caches alike: one call at a time of each chain, which grows from call to call."""

    def __init__(self, capacity, reuse):
        self.exact, self.short = KvCache(capacity, 2, reuse=reuse), ChainCache(capacity, 2, reuse=reuse)
        self.capacity, self.open, self.length = capacity, {}, {}

    def step(self, problem, sample, grow, new, close):
        key = (problem, sample)
        if key in self.open:
            return self.finish(key) if close else None
        n = self.length.get(key, N_PROMPT) + grow
        chain = Chain(problem, sample, N_PROMPT, n)
        wanted = {"reusable_tokens": n - 1, "total_tokens": n + new}
        pair = (self.exact.acquire(tokens_of(*key, n), **wanted), self.short.acquire(chain, **wanted))
        assert (pair[0] is None) == (pair[1] is None)
        if pair[0]:
            assert pair[0].reused_tokens == pair[1].reused_tokens
            self.open[key] = (*pair, n, new)
        self.check()
        return None

    def finish(self, key):
        exact, short, n, new = self.open.pop(key)
        for length in (n, n + new):
            self.exact.publish(exact, tokens_of(*key, length))
            self.short.publish(short, Chain(*key, N_PROMPT, length))
            self.check()
        self.exact.release(exact)
        self.short.release(short)
        self.length[key] = n + new
        self.check()

    def check(self):
        assert (self.exact.in_use, self.exact.cached) == (self.short.in_use, self.short.cached)
        assert self.short.in_use + self.short.cached <= self.capacity


@settings(max_examples=300, deadline=None)
@given(operations=OPERATIONS, reuse=st.booleans())
def test_it_counts_what_the_exact_one_counts(operations, reuse):
    both = Both(10_000, reuse)
    for operation in operations:
        both.step(*operation)
    for key in list(both.open):
        both.finish(key)
    assert both.short.in_use == 0


@settings(max_examples=300, deadline=None)
@given(operations=OPERATIONS, capacity=st.integers(12, 40))
def test_it_never_holds_more_than_it_has(operations, capacity):
    cache, held, lengths = ChainCache(capacity, 2), {}, {}
    for problem, sample, grow, new, _close in operations:
        key = (problem, sample)
        if key in held:
            lease, n, more = held.pop(key)
            cache.publish(lease, Chain(*key, N_PROMPT, n + more))
            cache.release(lease)
            lengths[key] = n + more
        else:
            n = lengths.get(key, N_PROMPT) + grow
            lease = cache.acquire(Chain(*key, N_PROMPT, n), reusable_tokens=n - 1, total_tokens=n + new)
            if lease:
                held[key] = (lease, n, new)
        assert cache.in_use >= 0
        assert cache.cached >= 0
        assert cache.in_use + cache.cached <= capacity
    for lease, _, _ in held.values():
        cache.release(lease)
    assert cache.in_use == 0
