"""Configs as leaves, read and never run."""

from __future__ import annotations

from rayseg.config import load_config
from rayseg.config.tree import walk
from rayseg.reporting.config_leaves import origin, parse_leaves

TEXT = """
from rayseg.search import choice

model = dict(type='A', sizes=(1, -2), loss=[dict(type='B', w=1e-4), dict(type='C')], **{'odd-key': None})
hooks = []
lr = choice(0.1, 0.2)
"""


def test_leaves_of_nested_values():
    assert parse_leaves(TEXT) == {
        "model.type": "'A'",
        "model.sizes": "(1, -2)",
        "model.loss.0.type": "'B'",
        "model.loss.0.w": "0.0001",
        "model.loss.1.type": "'C'",
        "model.odd-key": "None",
        "hooks": "[]",
        "lr": "choice(0.1, 0.2)",
    }


def test_a_dumped_config_has_the_leaves_that_loading_it_gives(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("model = dict(type='A', x={'a.b': 1, 'c': dict(d=[dict(e=2.5)])})\nrandomness = dict(seed=0)\n")
    config = load_config(path)
    assert parse_leaves(config.dump()) == {key: repr(value) for key, value in walk(config)}


def test_nothing_is_run(tmp_path):
    target = tmp_path / "made"
    leaves = parse_leaves(f"model = open({str(target)!r}, 'w')\n")
    assert leaves is not None
    assert "open" in leaves["model"]
    assert not target.exists()


def test_text_that_is_no_python():
    assert parse_leaves("model = dict(") is None
    assert parse_leaves("model = '\0'") is None
    assert parse_leaves("x = " + "[" * 5000) is None
    assert parse_leaves("") == {}


def test_who_set_a_leaf():
    changed = {"a.b": "mine.py", "c": "command line"}
    assert origin("a.b", changed) == "mine.py"
    assert origin("a.b.0", changed) == "mine.py"
    assert origin("a.bc", changed) == ""
    assert origin("c.d", changed) == "command line"
