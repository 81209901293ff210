"""Secrets are hidden, what only looks near one is not."""

from __future__ import annotations

import pytest

from rayseg.tracking.redact import Redactor


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("http://user:pass@host:5000/x", "http://user:***@host:5000/x"),
        ("see https://h/x?api_key=abc123&y=1", "see https://h/x?api_key=***&y=1"),
        ("key hf_abcdefghijklmnopqrstuvwx!", "key ***!"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ", "***"),
        ("AKIAABCDEFGHIJKLMNOP", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "***"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer ***"),
        ("password=x, user=y", "password=***, user=y"),
        ("a.b.api_key='q w'", "a.b.api_key=***"),
        ('{"token": "abc"}', '{"token": ***}'),
        ("token: abcdef123456", "token: ***"),
        ("the value is sesame-open here", "the value is *** here"),
    ],
)
def test_hidden(text: str, wanted: str):
    assert Redactor({"MY_SECRET": "sesame-open"})(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "backbone.cls_token: unexpected",
        "backbone.cls_token: (1, 1, 768)",
        "lr: 2.0000e-03  loss: 0.5",
        "api_key='${env:WANDB_API_KEY}'",
        "http://${env:USER}:${env:PASS}@host",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "s3://bucket/path",
        "a short value: no",
        "",
    ],
)
def test_shown(text: str):
    assert Redactor({"SHORT_TOKEN": "no", "PATH": "path"})(text) == text


def test_the_longest_secret_is_hidden_first():
    assert Redactor({"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefghijkl"})("abcdefghijkl abcdefgh") == "*** ***"


def test_trees_are_copied_and_secret_keys_hidden_whole():
    tree = {"api_key": "x", "items": [{"password": "y"}, "http://u:p@h"], "n": 1, "none": None, "token": ""}
    assert Redactor({}).tree(tree) == {
        "api_key": "***",
        "items": [{"password": "***"}, "http://u:***@h"],
        "n": 1,
        "none": None,
        "token": "",
    }
    assert tree["api_key"] == "x"
