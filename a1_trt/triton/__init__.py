"""Serving a pair with Triton: rendering model repositories, checking them, and the models inside the server.

What is in `models` and `templates` becomes the files of a repository; `a1_model` and `engine_model` are what they call.
"""
