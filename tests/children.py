"""What a Python child process of a test says first."""

INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""Takes Ctrl-C, also where the tests run in the background, which children inherit ignoring it from.

Said by the child, not by `preexec_fn`: that makes Popen fork, and gRPC's threads in the parent do not survive a fork.
"""
