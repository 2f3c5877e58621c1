"""An OpenAI-compatible endpoint in front of a pair: any OpenAI client gets test-time scaling by changing a URL.

`serving` is the server, `app` its routes. A request is read by `chat`, answered by `answer` or `stream`, and solved by
`backend`. The extra ``openai`` has what it needs.

"""
