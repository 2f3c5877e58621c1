"""Serving a pair with Triton.

::

    tensors.py          the tensors of the three models, in one place
    tensorrt_llm.py     the tensors and parameters of TensorRT-LLM's own model
    placement.py          which GPUs hold a role, and with which settings
    render.py           pair -> model repository
    pbtxt.py            the text of a config.pbtxt
    repository.py       a rendered directory on disk: whole or not at all
    containers.py       Dockerfile and compose.yaml; kubernetes.py, dashboard.py
    models/             the model.py files of that repository: glue only
    request.py         one Triton request inside a model: inputs, responses, errors, cancellation
    engine_model.py     what the models "draft" and "target" do
    a1_model.py         what the model "a1" does
    exporter.py         the session's counters on Triton's /metrics
    binary.py           which tritonserver, and the environment it needs
    server.py           starts and stops one
    check.py            is a repository right? with findings.py, config_rules.py, model_rules.py, container_rules.py
    probe.py            is a live server ready, with the tensors that are wanted of it?
    canary.py           does it do real work, in time, with scores that agree?
"""
