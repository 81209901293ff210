"""Reading a config written in YAML or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from rayseg.core.errors import ConfigError, Problem

# A reference outside of quotes is no YAML and no JSON; MM users write it all the same.
_BARE_REFERENCE = re.compile(r"((?:^|[:\[,-])\s*)(\{\{\s*_base_\.[^\s{}\"']+\s*\}\})(?=\s*(?:[,\]}#]|$))", re.MULTILINE)

_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"


def parse_data(text: str, shown: str, suffix: str) -> dict[str, Any]:
    """The mapping in a YAML or JSON file; an empty YAML file is an empty mapping.

    Raises:
        ConfigError: a syntax error or a key given twice, with the line, or something that is no mapping.
    """
    text = _BARE_REFERENCE.sub(r'\1"\2"', text)
    tree = _parse_json(text, shown) if suffix == ".json" else _parse_yaml(text, shown)
    if not isinstance(tree, dict):
        raise ConfigError(Problem(f"expected a mapping of sections, found {type(tree).__name__}", file=shown))
    return tree


def _parse_json(text: str, shown: str) -> Any:
    def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise ConfigError(Problem(f"key {key!r} is given twice", file=shown))
            result[key] = value
        return result

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ConfigError(Problem(f"JSON: {error.msg}", file=f"{shown}:{error.lineno}")) from None


def _parse_yaml(text: str, shown: str) -> Any:
    import yaml

    try:
        tree = yaml.load(text, _loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{shown}:{mark.line + 1}" if mark else shown
        raise ConfigError(Problem(f"YAML: {error.problem or error.context}", file=place)) from None
    except yaml.YAMLError as error:
        raise ConfigError(Problem(f"YAML: {error}".splitlines()[0], file=shown)) from None
    return {} if tree is None else tree


@cache
def _loader() -> Any:
    """A safe loader with the plain values of YAML 1.2: ``1e-4`` is a float, ``no`` and ``2024-01-01`` are text."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen: set[tuple[str, str]] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(None, None, f"key {key.value!r} is given twice", key.start_mark)
                seen.add((key.tag, key.value))
            return node

    for tag, pattern, first in (
        ("merge", r"<<", "<"),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
        ("float", rf"{_FLOAT}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), first)
    Loader.add_constructor("tag:yaml.org,2002:int", _yaml_int)
    return Loader


def _yaml_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node).removeprefix("+")
    return int(text, 0) if text.startswith(("0x", "0o")) else int(text)
