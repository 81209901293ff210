"""The address and the token of a job server, and one line for each thing that may answer instead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from rayseg.submission.server import connect, job_server_address, token_for
from tests.distributed import free_port

VARIABLES = (
    *("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_AUTH_MODE"),
    *("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_HEADERS"),
)


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that says where a cluster is, and an empty home."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("given", "variables", "expected"),
    [
        (None, {}, "http://127.0.0.1:8265"),
        (None, {"RAY_ADDRESS": "auto"}, "http://127.0.0.1:8265"),
        (None, {"RAY_ADDRESS": "http://head:8265/"}, "http://head:8265"),
        (None, {"RAY_ADDRESS": "http://a:1", "RAY_API_SERVER_ADDRESS": "http://b:2"}, "http://b:2"),
        ("head", {"RAY_API_SERVER_ADDRESS": "http://b:2"}, "http://head:8265"),
        ("head:80", {}, "http://head:80"),
        ("https://rays.example/one/", {}, "https://rays.example/one"),
    ],
)
def test_the_address(
    given: str | None, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert job_server_address(given) == expected


@pytest.mark.parametrize(
    ("given", "variables", "message"),
    [
        ("ray://head:10001", {}, "--address ray://head:10001: expected the dashboard's, such as http://HEAD:8265"),
        ("http://head:port", {}, "--address http://head:port: expected"),
        ("http://", {}, "--address http://: expected"),
        ("ftp://u:hidden@head", {}, r"--address ftp://u:\*\*\*@head: expected"),
        (None, {"RAY_ADDRESS": "head:6379"}, "RAY_ADDRESS=head:6379: not the address of a job server; give --address"),
    ],
)
def test_an_address_of_another_kind(
    given: str | None, variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"^{message}"):
        job_server_address(given)


@pytest.mark.parametrize(
    ("variables", "in_file", "address", "expected"),
    [
        ({}, None, "http://127.0.0.1:1", None),
        ({}, "filed", "http://127.0.0.1:1", ("filed", "~/.ray/auth_token")),
        ({}, "filed", "http://localhost:1", ("filed", "~/.ray/auth_token")),
        ({}, "filed", "http://head:1", None),
        ({"RAY_AUTH_MODE": "token"}, "filed", "http://head:1", ("filed", "~/.ray/auth_token")),
        ({"RAY_AUTH_MODE": "TOKEN", "RAY_AUTH_TOKEN": "set"}, "filed", "http://head:1", ("set", "RAY_AUTH_TOKEN")),
        ({"RAY_AUTH_TOKEN": "set"}, None, "http://head:1", ("set", "RAY_AUTH_TOKEN")),
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "set"}, "filed", "http://127.0.0.1:1", None),
        ({"RAY_AUTH_MODE": "token"}, " \n", "http://head:1", None),
    ],
)
def test_the_token(
    variables: dict[str, str],
    in_file: str | None,
    address: str,
    expected: tuple[str, str] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if in_file is not None:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text(in_file)
    assert token_for(address) == expected


def test_the_token_of_a_named_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with pytest.raises(ConfigError, match=r"^RAY_AUTH_TOKEN_PATH=.*/token: cannot be read: No such file"):
        token_for("http://head:1")
    path.write_text("named\n")
    assert token_for("http://head:1") == ("named", str(path))


@contextmanager
def answering(status: int, body: str) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives one answer to everything; its address and the headers that it got."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, "<html>", r"something answers, but no Ray dashboard \(its answer is no JSON\)"),
        (200, "[1]", r"something answers, but no Ray dashboard \(its answer is another\)"),
        (200, "{}", r"something answers, but no Ray dashboard \(its answer is another\)"),
        (404, "", r"something answers, but no Ray dashboard \(its answer is another\)"),
        (401, "", "the cluster wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN"),
    ],
)
def test_what_answers_is_no_job_server(status: int, body: str, message: str) -> None:
    with answering(status, body) as (address, _), pytest.raises(ConfigError, match=f"^{address}: {message}"):
        connect(address)


def test_a_token_that_is_not_accepted_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "quite-secret")
    monkeypatch.setenv("RAY_JOB_HEADERS", '{"X-Team": "maps"}')
    refused = pytest.raises(ConfigError, match=r"does not accept the token of RAY_AUTH_TOKEN; ")
    with answering(403, "Forbidden") as (address, seen), refused as caught:
        connect(address)
    assert "quite-secret" not in str(caught.value)
    assert (seen[0]["Authorization"], seen[0]["X-Team"]) == ("Bearer quite-secret", "maps")


def test_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no cluster's dashboard answers there \(Connection refused\)"):
        connect(f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("RAY_JOB_HEADERS", "X-Team: maps")
    with pytest.raises(ConfigError, match=r"^RAY_JOB_HEADERS: expected a JSON object"):
        connect(f"http://127.0.0.1:{free_port()}")
