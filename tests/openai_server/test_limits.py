"""What the endpoint does to clients that leave, that are too many, that send too much or that nobody knows."""

from __future__ import annotations

import json
import socket
import threading

import httpx
import openai
import pytest

from a1_trt.errors import ConfigError, EngineOverloaded, EngineUnavailable
from a1_trt.openai_server.admission import Gate, read_keys

# Seconds of work; while it goes on, most of its samples have not even begun.
LONG = {"n_samples": 1024, "early_stop": False}


def raw_request(url: str, body: dict) -> socket.socket:
    """A connection on which a request has been sent."""
    parts = httpx.URL(url)
    sent = json.dumps(body).encode()
    connection = socket.create_connection((parts.host, parts.port))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(sent)}\r\n\r\n"
    )
    connection.sendall(head.encode() + sent)
    return connection


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_in_flight_after_a_client_has_left(reference, ask, stream: bool) -> None:
    before = reference.n_drafted()
    connection = raw_request(reference.url, ask(stream=stream, a1=LONG))
    reference.wait_until(busy=True)
    if stream:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    connection.close()
    reference.wait_until(busy=False)
    assert reference.n_drafted() - before < LONG["n_samples"]
    assert reference.openai().chat.completions.create(**ask()).choices


def test_all_of_many_clients_that_leave_are_noticed(reference, ask) -> None:
    before = reference.n_drafted()
    connections = [raw_request(reference.url, ask(stream=True, a1=LONG)) for _ in range(16)]
    reference.wait_until(busy=True)
    for connection in connections:
        connection.close()
    reference.wait_until(busy=False)
    assert reference.n_drafted() - before < LONG["n_samples"]


def test_a_deadline_stops_the_work(reference, ask) -> None:
    before = reference.n_drafted()
    with pytest.raises(openai.APIStatusError) as caught:
        reference.openai(max_retries=2).chat.completions.create(
            model="reference", messages=ask()["messages"], extra_body={"a1": {**LONG, "deadline_s": 0.3}}
        )
    assert caught.value.status_code == 504
    reference.wait_until(busy=False)
    assert reference.n_drafted() - before < LONG["n_samples"]


def test_one_too_many_is_told_when_to_come_back(simulated, ask) -> None:
    endpoint = simulated(gate=Gate(1))
    body = {**ask(), "model": "simulated"}
    connection = raw_request(endpoint.url, {**body, "a1": LONG})
    endpoint.wait_until(busy=True)
    with pytest.raises(openai.RateLimitError) as caught:
        endpoint.openai().chat.completions.create(**body)
    assert int(caught.value.response.headers["Retry-After"]) >= 1
    connection.close()
    endpoint.wait_until(busy=False)
    assert endpoint.openai(max_retries=3).chat.completions.create(**body).choices


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "kind"),
    [(EngineUnavailable("it is gone"), openai.InternalServerError), (EngineOverloaded("full"), openai.RateLimitError)],
)
def test_an_engine_that_fails(simulated, ask, error, kind, stream: bool) -> None:
    endpoint = simulated(faults=lambda number, verb: error)
    with pytest.raises(kind) as caught:
        endpoint.openai().chat.completions.create(model="simulated", messages=ask()["messages"], stream=stream)
    # Of a stream, too: nothing of it was told before all samples had failed.
    assert error.message in caught.value.message
    assert caught.value.status_code in (429, 503)


def test_a_body_that_is_too_large(reference, ask) -> None:
    with reference.http() as client:
        answer = client.post("/v1/chat/completions", json=ask("x" * 5_000_000))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", ["", "{", "[1]", '{"model": 1}', "[" * 100_000, '{"n": NaN}', '"\\ud800"'])
def test_a_body_that_is_no_request(reference, body: str) -> None:
    with reference.http() as client:
        answer = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_page_of_another_site_cannot_ask(reference, ask) -> None:
    """Browsers send text/plain to any address without asking it first."""
    with reference.http() as client:
        answer = client.post("/v1/chat/completions", content=json.dumps(ask()), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "path", ["/health", "/v2/health/live", "/v2/health/ready", "/version", "/metrics", "/v1/models"]
)
def test_what_can_be_read_has_a_head(reference, path: str) -> None:
    with reference.http() as client:
        answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_another_method_is_told_which_there_are(simulated) -> None:
    with simulated().http() as client:
        for method, path, allowed in (
            ("GET", "/v1/chat/completions", {"POST"}),
            ("POST", "/v1/models", {"GET", "HEAD"}),
        ):
            answer = client.request(method, path)
            assert answer.status_code == 405
            assert set(answer.headers["Allow"].split(", ")) == allowed
            assert answer.json()["error"]["code"] == "method_not_allowed"
            assert path in answer.json()["error"]["message"]
        assert client.get("/nowhere").status_code == 404
        counts = client.get("/metrics").text
    for code, count in (("method_not_allowed", 2), ("not_found", 1)):
        assert f'a1_request_errors_total{{code="{code}",model_name="simulated"}} {count}.0' in counts


def test_a_client_that_leaves_in_its_body_leaves_no_trace(simulated, ask, caplog, capfd) -> None:
    endpoint = simulated()
    parts = httpx.URL(endpoint.url)
    connection = socket.create_connection((parts.host, parts.port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.host}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    with endpoint.http() as client:
        assert client.get("/health").status_code == 200, "by now the request has been read"
    connection.close()
    endpoint.stop()
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("path", ["/v1/completions", "/nowhere"])
def test_an_unknown_path_is_an_error_of_the_same_form(reference, path: str) -> None:
    with reference.http() as client:
        answer = client.post(path, json={})
    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_only_who_has_a_key_may_ask(simulated, ask, tmp_path, caplog, capfd) -> None:
    path = tmp_path / "keys"
    path.write_text("sesame\n\nsecond\n")
    endpoint = simulated(gate=Gate(8, read_keys(path)))
    body = {**ask(), "model": "simulated"}
    with endpoint.http() as client:
        for key in ("open", "sesam", "sesames", ""):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            for answer in (
                client.post("/v1/chat/completions", json=body, headers=headers),
                client.get("/v1/models", headers=headers),
            ):
                assert answer.status_code == 401
                assert answer.json()["error"]["code"] == "invalid_api_key"
    for key in ("sesame", "second"):
        assert endpoint.openai(api_key=key).chat.completions.create(**body).choices
    with endpoint.http() as client:
        assert client.get("/health").status_code == 200
        assert "sesame" not in client.get("/metrics").text
    assert "sesame" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"x" * 100_000])
def test_a_file_of_keys_that_is_none(tmp_path, content: bytes | None) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert caught.value.field == "api_key_file"


def test_who_is_at_work_when_it_stops_is_told(simulated, ask) -> None:
    """Not left waiting: stopping takes seconds, the work of this request would take minutes."""
    endpoint = simulated(faults=lambda number, verb: "hang")
    answers: list[httpx.Response] = []

    def wait() -> None:
        answers.append(
            httpx.post(f"{endpoint.url}/v1/chat/completions", json={**ask(), "model": "simulated"}, timeout=60)
        )

    waiting = threading.Thread(target=wait)
    waiting.start()
    endpoint.wait_until(busy=True)
    endpoint.stop()
    waiting.join(60)
    (answer,) = answers
    assert answer.status_code == 503
    assert "is stopping" in answer.json()["error"]["message"]


def test_the_loop_goes_on_while_a_problem_is_solved(reference, ask) -> None:
    """Health and metrics answer in the middle of work."""
    connection = raw_request(reference.url, ask(a1=LONG))
    reference.wait_until(busy=True)
    with reference.http() as client:
        assert client.get("/health").status_code == 200
        assert 'a1_num_requests_running{model_name="reference"} 1' in client.get("/metrics").text
    connection.close()
    reference.wait_until(busy=False)


@pytest.mark.parametrize("name", ["alpha", "n_samples", "seed", "temperature", "deadline_s", "budget", "max_turns"])
def test_a_number_of_any_size_is_an_error_of_its_parameter(reference, ask, name: str) -> None:
    for value in (10**400, -(10**400), 1e300):
        reply = httpx.post(f"{reference.url}/v1/chat/completions", json=ask(a1={name: value}), timeout=30)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == f"a1.{name}"
