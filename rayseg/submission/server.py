"""The job server of a cluster (the dashboard's REST API): its address, the token that it wants, and what it says."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rayseg.config import redacted
from rayseg.core.errors import ConfigError, RaysegError, did_you_mean

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
TIMEOUT_S = (5.0, 15.0)  # to connect, to answer
CLIENT_TIMEOUT_S = (10.0, 120.0)  # the same, for requests that take a package or begin a job
TOKEN_FILE = "~/.ray/auth_token"


def job_server_address(given: str | None) -> str:
    """The address of the dashboard: given, else of the environment, else this machine's.

    Raises:
        ConfigError: it is an address of another kind.
    """
    where, address = "--address", given
    for name in ADDRESS_VARIABLES:
        if not address:
            where, address = name, os.environ.get(name)
    if not address or (where == "RAY_ADDRESS" and address in ("auto", "local")):
        return DEFAULT_ADDRESS
    wanted = "expected the dashboard's, such as http://HEAD:8265"
    if where == "RAY_ADDRESS" and "://" not in address:
        raise ConfigError(f"RAY_ADDRESS={address}: not the address of a job server; give --address, {wanted}")
    if "://" not in address:
        address = f"http://{address}" if ":" in address else f"http://{address}:8265"
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{where} {redacted(address)}: {wanted}")
    return address.rstrip("/")


def token_for(address: str) -> tuple[str, str] | None:
    """The token to send and where it comes from, None when none is to be sent.

    As Ray does it, ``RAY_AUTH_MODE=token`` sends one and ``disabled`` none. With neither, one is sent that the
    environment names, and to this machine also that of ``~/.ray/auth_token``.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "").lower()
    if mode not in ("", "token"):
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token, "RAY_AUTH_TOKEN"
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not named and mode != "token" and urlsplit(address).hostname not in ("localhost", "127.0.0.1", "::1"):
        return None
    try:
        token = Path(named or TOKEN_FILE).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        if named:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"RAY_AUTH_TOKEN_PATH={named}: cannot be read: {reason}") from None
        return None
    return (token, named or TOKEN_FILE) if token else None


@dataclass(frozen=True)
class JobServer:
    """A job server that answers.

    Attributes:
        address: without secrets.
        versions: of the cluster, as far as it tells: ``ray``, ``python``.
        client: Ray's.
    """

    address: str
    versions: dict[str, str]
    client: Any

    def find(self, job: str) -> Any | None:
        """What the server knows of a job; None when there is none of that name."""
        try:
            return self._asked(self.client.get_job_info, job)
        except _NotFoundError:
            return None

    def info(self, job: str) -> Any:
        """What the server knows of a job.

        Raises:
            ConfigError: no such job, with the nearest name.
        """
        found = self.find(job)
        if found is None:
            hint = did_you_mean(job, [str(each.submission_id) for each in self.all()])
            raise ConfigError(f"{job}: no such job at {self.address}{hint or '; rayseg status lists them'}")
        return found

    def all(self) -> list[Any]:
        """The submitted jobs, the newest first."""
        jobs = [job for job in self._asked(self.client.list_jobs) if job.submission_id]
        return sorted(jobs, key=lambda job: job.start_time or 0, reverse=True)

    def submit(self, **arguments: Any) -> str:
        """Send a job with its package; its name."""
        return str(self._asked(self.client.submit_job, **arguments))

    def stop(self, job: str) -> bool:
        """Ask a job to end; False when it has ended already."""
        return bool(self._asked(self.client.stop_job, job))

    def log(self, job: str) -> str:
        """All that a job has printed so far."""
        return str(self._asked(self.client.get_job_logs, job))

    def tail(self, job: str) -> AsyncIterator[str]:
        """What a job prints, from its beginning, in pieces."""
        return self.client.tail_job_logs(job)  # type: ignore[no-any-return]

    def _asked(self, call: Any, *arguments: Any, **named: Any) -> Any:
        import requests
        from ray.exceptions import AuthenticationError

        try:
            return call(*arguments, **named)
        except (requests.RequestException, ConnectionError) as error:
            raise LostError(f"{self.address}: the cluster does not answer any more ({_reason(error)})") from None
        except AuthenticationError as error:
            raise ConfigError(f"{self.address}: {_first_line(error)}") from None
        except RuntimeError as error:
            text = str(error)
            if "status code 404" in text:
                raise _NotFoundError(text) from None
            raise RaysegError(f"{self.address}: {_last_line(error)}") from None


class LostError(RaysegError):
    """The job server answered before and does not now."""


class _NotFoundError(RaysegError):
    """The job server knows no such job."""


def connect(address: str | None = None) -> JobServer:
    """Reach the job server, within seconds.

    Raises:
        ConfigError: nothing listens there; it is no job server; it wants a token, or another one.
    """
    address = job_server_address(address)
    token = token_for(address)
    headers = _headers()
    if token:
        headers["Authorization"] = f"Bearer {token[0]}"
    facts = _get(address, "/api/version", headers, token)
    if not isinstance(facts, Mapping) or "ray_version" not in facts:
        raise ConfigError(_no_job_server(address, "its answer is another"))
    versions = {"ray": str(facts["ray_version"])}
    metadata = _optional(address, "/api/v0/cluster_metadata", headers).get("data") or {}
    if python := metadata.get("pythonVersion"):
        versions["python"] = str(python)
    return JobServer(redacted(address), versions, _client(address, headers))


def _headers() -> dict[str, str]:
    """What ``RAY_JOB_HEADERS`` adds to each request, for a proxy on the way."""
    text = os.environ.get("RAY_JOB_HEADERS")
    try:
        return {str(name): str(value) for name, value in json.loads(text).items()} if text else {}
    except (ValueError, AttributeError):
        raise ConfigError("RAY_JOB_HEADERS: expected a JSON object of names and values") from None


def _get(address: str, path: str, headers: Mapping[str, str], token: tuple[str, str] | None) -> Any:
    import requests

    try:
        answer = requests.get(address + path, headers=headers, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise ConfigError(f"{redacted(address)}: no cluster's dashboard answers there ({_reason(error)})") from None
    if answer.status_code in (401, 403):
        raise ConfigError(f"{redacted(address)}: {_about_token(answer.status_code, token)}")
    try:
        return answer.json() if answer.ok else None
    except ValueError:
        raise ConfigError(_no_job_server(address, "its answer is no JSON")) from None


def _optional(address: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """An answer that need not come."""
    import requests

    try:
        answer = requests.get(address + path, headers=headers, timeout=TIMEOUT_S).json()
    except (requests.RequestException, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _about_token(status: int, token: tuple[str, str] | None) -> str:
    if token is None:
        return (
            "the cluster wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, or write "
            f"it to {TOKEN_FILE}); 'ray get-auth-token' on the head shows it"
        )
    what = "does not accept" if status == 403 else "did not see"
    return f"the cluster {what} the token of {token[1]}; set RAY_AUTH_TOKEN to its own ('ray get-auth-token' there)"


def _no_job_server(address: str, why: str) -> str:
    return f"{redacted(address)}: something answers, but no Ray dashboard ({why}); expected such as http://HEAD:8265"


def _client(address: str, headers: dict[str, str]) -> Any:
    import logging

    from ray.job_submission import JobSubmissionClient

    for module in ("dashboard_sdk", "job.sdk"):  # they tell of each package and of each default
        logging.getLogger(f"ray.dashboard.modules.{module}").setLevel(logging.ERROR)
    client: Any = JobSubmissionClient(address, headers=headers)
    client._do_request = partial(client._do_request, timeout=CLIENT_TIMEOUT_S)  # Ray's own waits for ever
    return client


def _reason(error: Exception) -> str:
    """The innermost cause of a failed request, such as ``Connection refused``."""
    inner: BaseException = error
    while (deeper := getattr(inner, "reason", None) or inner.__cause__ or inner.__context__) is not None:
        if not isinstance(deeper, BaseException):
            break
        inner = deeper
    reason = getattr(inner, "strerror", None) or _first_line(inner)
    return reason if reason.isprintable() else "what listens there speaks no HTTP"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _last_line(error: BaseException) -> str:
    """The end of a server's traceback."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip(' ."')), type(error).__name__)
