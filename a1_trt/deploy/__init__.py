"""Serving a pair with Triton.

::

    tensors.py       the tensors of the three models, in one place
    render.py        pair -> model repository
    models/          the model.py files of that repository: glue only
    exchange.py      one Triton request inside a model: inputs, responses, errors, cancellation
    engine_model.py  what the models "draft" and "target" do
    a1_model.py      what the model "a1" does
    exporter.py      the session's counters on Triton's /metrics
    binary.py        which tritonserver, and the environment it needs
    server.py        starts and stops one
    check.py         probes a live one
"""
