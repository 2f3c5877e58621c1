"""An OpenAI-compatible endpoint in front of a pair: any OpenAI client gets test-time scaling by changing a URL.

::

    chat.py       a request's body -> problem, parameters, how to answer
    answer.py     a result -> choices, usage and the "a1" object
    stream.py     events -> server-sent events; preview.py: which reasoning may be shown before the vote
    failures.py   errors -> status and OpenAI's error object
    backend.py    a session in this process, or a Triton server
    request_metrics.py, session_collector.py   what is measured of requests, and of the session
    admission.py  who is let in, and until when
    app.py        the routes; serving.py: the server

The extra ``openai`` has what it needs.
"""
