"""Predictions in virtual time: deployments that nobody has bought yet, from data sheets and stated assumptions.

::

    scripts.py traces.py    workloads: drawn, and recorded by the published code
    layout.py               a pair on GPUs; the roofline itself is in a1_trt.simulate.engine_model
    fleet.py                engines behind queues
    flow.py samples.py      what samples do next: the scheduler's rules, on lengths
    simulation.py bounds.py one run, and what no schedule can beat
    request.py words.py     from a command line to a run
    speculation.py          token-level speculative decoding, as an engine
    sweep.py plan.py        many runs; the cheapest layout for a load
    recorded.py replaying.py prediction.py fit.py descent.py
                            constants of an engine, from the timeline of a real run
    engines.py documents.py JSON files that are read and written
    listing.py              what the barrier between problems costs, from recorded durations alone
    text.py                 scripts as text, for the real scheduler and strategies in virtual time
    paper.py                the paper's table
"""
