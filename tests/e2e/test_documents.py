"""The Python and curl examples of README and docs/triton.md, run as they stand against a real server."""

import re
import shlex
import subprocess

import pytest

from tests.places import ROOT

PAGES = ["README.md", "docs/triton.md"]
PROBLEM, ANSWER = "a = 3, b = a+4, c = b*2, d = c-a. What is d modulo 100?", "11"


def blocks(language):
    for page in PAGES:
        text = (ROOT / page).read_text()
        for number, found in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            yield pytest.param(found, id=f"{page}-{number}")


def here(text, server):
    """The example with this server's addresses."""
    http = server.http_url.removeprefix("http://")
    text = text.replace("grpc://localhost:8001", f"grpc://{server.grpc_url}").replace("127.0.0.1:8001", server.grpc_url)
    return text.replace("localhost:8001", server.grpc_url).replace("localhost:8000", http)


@pytest.mark.usefixtures("warm_engines")
@pytest.mark.parametrize("example", [*blocks("python")])
def test_python_examples_run(example, server, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    exec(compile(here(example, server), "example", "exec"), {"__name__": "example"})  # noqa: S102  our own pages
    output = capsys.readouterr().out
    assert output.strip(), "an example prints something"
    assert PROBLEM not in example or re.search(rf"\b{ANSWER}\b", output)


@pytest.mark.parametrize("example", [*blocks("console")])
def test_curl_examples_answer(example, server):
    commands = re.findall(r"^\$ (curl .*?)(?=^\$|\Z)", here(example, server), re.DOTALL | re.MULTILINE)
    for command in commands:
        done = subprocess.run(
            shlex.split(command.replace("\\\n", " ")), capture_output=True, text=True, timeout=60, check=True
        )
        assert PROBLEM in command
        assert f'"answer":"{ANSWER}"' in done.stdout
        assert '"error"' not in done.stdout
