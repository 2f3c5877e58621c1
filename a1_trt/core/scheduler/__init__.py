"""The asynchronous conformal scheduler: pure decisions, no engine, no clock, no event loop.

Theory of operation
===================

A scheduler holds problems; a problem holds n samples; a sample is always in exactly one `State`. Everything that
changes a state goes through the table in `states.py`. Three verbs drive it::

    number = scheduler.add(problem, parameters)    # n samples are ready to draft
    plan = scheduler.schedule()                    # calls to start, ids of calls to cancel
    events = scheduler.update(completion)          # one call came back

`schedule` starts as many waiting calls as the limits of calls in flight allow, first come, first served. `update`
applies the completion (`transitions.py`), decides what the sample does next (`policy.py`), and puts its next call in
the queue *at once*: no sample ever waits for another one. A segment's nonconformity score becomes a p-value against
past scores only, which is what makes the decision possible without waiting for the other samples of the turn.

Under `admission = "barrier"`, the baseline to measure against, the samples of a problem go through each phase of a turn
together: a call is held back until all of them have come as far, the scores of a phase are judged together, in sample
order, and a settled vote is noticed at the barrier.

With `optimistic`, the draft call of the next turn is made while a segment is still being verified, as if that were
accepted: the very call that an acceptance would ask for, with the same seed. On acceptance it is the sample's next
call, else it is cancelled and leaves no trace; so it changes when things happen, never what is decided.

A draft's segment stands only with a score (an answer that nobody wants verified aside). One whose score fails is
dropped: the target writes in its place, from its start, or the sample fails, as `on_score_error` says. Where too many
scores fail (`scoring.py`), the problem whose score has just failed fails as a whole.

When the vote of a problem is settled its other samples are stopped: their waiting calls are dropped, those in flight
are named in the next plan's `cancel`, and each keeps its place among the calls in flight until its completion arrives.
"""

from a1_trt.core.scheduler.scheduler import Plan, Scheduler
from a1_trt.core.scheduler.scoring import Scoring
from a1_trt.core.scheduler.states import TRANSITIONS, Signal, State

__all__ = ["TRANSITIONS", "Plan", "Scheduler", "Scoring", "Signal", "State"]
