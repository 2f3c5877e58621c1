"""Predictions in virtual time: deployments that nobody has bought yet, from data sheets and stated assumptions.

::

    workload.py traces.py   samples: drawn, and recorded by the published code; text.py gives them a length in text
    engine_model/           an engine: in-flight batching, prefill, KV cache, and what an iteration costs (roofline)
    fleet.py fleet_call.py  engines behind queues, from one heap, and what they are asked
    driver.py               the real scheduler on a fleet
    simulation.py outcome.py bounds.py
                            one run, what it gave, and what no schedule can beat
    layout.py               a pair on GPUs
    config.py parsing.py    from a command line to a run
    speculation.py          token-level speculative decoding, as an engine
    sweep.py plan.py        many runs; the cheapest layout for a load
    call_log.py call_replay.py prediction.py fit.py least_squares.py
                            constants of an engine, from the timeline of a real run
    engines.py report.py    JSON files and pages
    list_scheduling.py      what the barrier between problems costs, from recorded durations alone
    paper.py                the paper's table
"""
