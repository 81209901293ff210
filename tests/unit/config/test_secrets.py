# ruff: noqa: C408, E501 (tables of configs, written as configs are)
from __future__ import annotations

from typing import Any

import pytest

from rayseg.config import Config, redacted, resolve_env
from rayseg.config.secrets import literal_secrets
from rayseg.core.errors import ConfigError
from rayseg.search import choice


def test_references_are_resolved_where_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSEG_PW", "hunter2")
    value = Config.from_dict(dict(url="s3://u:${env:RAYSEG_PW}@host", more=["${env:RAYSEG_PW}", 3], t=("x",)))
    assert resolve_env(value) == dict(url="s3://u:hunter2@host", more=["hunter2", 3], t=("x",))
    assert value["more"] == ["${env:RAYSEG_PW}", 3]


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYSEG_PW", raising=False)
    with pytest.raises(ConfigError, match=r"^the environment variable RAYSEG_PW is not set \(\$\{env:RAYSEG_PW\}\)$"):
        resolve_env({"a": ["${env:RAYSEG_PW}"]})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("http://host/a", "http://host/a"),
        ("http://user@host", "http://user@host"),
        ("http://user:pw@host/a", "http://user:***@host/a"),
        ("postgres://:pw@host", "postgres://:***@host"),
        ("http://user:${env:PW}@host", "http://user:${env:PW}@host"),
        ("http://${env:U}:${env:PW}@host", "http://${env:U}:${env:PW}@host"),
        ("http://${env:U}:pw@host", "http://${env:U}:***@host"),
        ("http://u:x${env:PW}@host", "http://u:***@host"),
        ("http://host/?a=1&token=abc", "http://host/?a=1&token=***"),
        ("http://host/?api_key=abc&b=2", "http://host/?api_key=***&b=2"),
    ],
)
def test_redacted(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        (dict(trackers=dict(w=dict(api_key="abc"))), ["trackers.w.api_key"]),
        (dict(a=[dict(password="abc")], wandb_token="abc", client_secret="x"), ["a.0.password", "wandb_token", "client_secret"]),
        (dict(apiKey="x"), ["apiKey"]),
        (dict(uri="http://u:abc@h"), ["uri"]),
        (dict(uri=choice(["http://h", "http://u:abc@h"])), ["uri"]),
        (dict(login=choice(a=dict(password="abc"), b={})), ["login.password"]),
        (dict(token="${env:T}", password="", api_key=None, uri="http://u:${env:P}@h"), []),
        (dict(tokens="abc", token=3, cls_token=True, key="x", max_tokens=3), []),
    ],
)  # fmt: skip
def test_literal_secrets(tree: dict[str, Any], paths: list[str]) -> None:
    problems = literal_secrets(tree, lambda path: "a.py")
    assert [problem.key for problem in problems] == paths
    assert "abc" not in "".join(map(str, problems))
