"""An OpenAI-compatible endpoint in front of a pair: any OpenAI client gets test-time scaling by changing a URL.

::

    chat.py       a request's body -> problem, parameters, how to answer
    answer.py     a result -> choices, usage and the "a1" object
    stream.py     events -> server-sent events; leading.py: which reasoning may be shown before the vote
    failures.py   errors -> status and OpenAI's error object
    backend.py    a session in this process, or a Triton server
    watch.py      what is measured; registry.py: Prometheus' text
    gate.py       who is let in, and until when
    app.py        the routes; serving.py: the server

Only `app` and `serving` need the extra ``openai``.
"""
