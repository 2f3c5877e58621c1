"""An OpenAI-compatible endpoint in front of the scheduler.

A request comes in by `app.Routes`, is understood by `chat`, becomes work at the `desk.Desk` and leaves as an
`answers.Answer`; `server.serve` runs all of it. Only `app`, `server` and what they import need the extra ``openai``.
"""
