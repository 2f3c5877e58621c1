"""Serving a pair with Triton.

::

    tensors.py          the tensors of the three models, in one place
    tensorrt_llm.py     TensorRT-LLM's own model: its configuration, and what its parameters may be
    role_placement.py   which GPUs hold a role, and with which settings
    render.py           pair -> model repository; pbtxt.py: messages and text of a config.pbtxt
    repository.py       a rendered directory on disk: whole or not at all
    containers.py       Dockerfile, compose.yaml, kubernetes.yaml, dashboard.json
    templates/          what these files are filled from
    models/             the model.py files of that repository: glue only
    request_loop.py     Triton requests inside a model: inputs, responses, errors, cancellation
    engine_model.py     what the models "draft" and "target" do
    a1_model.py         what the model "a1" does
    exporter.py         the session's counters, and on Triton's /metrics
    binary.py           which tritonserver, and the environment it needs
    server.py           starts and stops one; ports.py
    check.py            is a repository as it would be rendered? with compare.py, rules.py, findings.py
    probe.py            is a live server ready, with the tensors that are wanted of it?
    canary.py           does it do real work, in time, with scores that agree?
"""
