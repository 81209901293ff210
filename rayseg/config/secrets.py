"""Secrets: ``'${env:NAME}'`` stays as it is in every file until it is used; a literal secret is an error."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rayseg.config.search import Choice
from rayseg.config.tree import walk
from rayseg.core.errors import ConfigError, Problem

ENV_REFERENCE = re.compile(r"\$\{env:(\w+)\}")
_NAME = r"(?:api_?key|token|password|passwd|secret|secret_key|access_key|credentials?)"
_SECRET_KEY = re.compile(rf"(?:^|_){_NAME}$", re.IGNORECASE)
_IN_URI = re.compile(r"(?<=://)([^/\s:@]*):([^@/\s]+)(?=@)")
_IN_QUERY = re.compile(rf"([?&]\w*?{_NAME}=)([^&\s]+)", re.IGNORECASE)
HIDDEN = "***"


def resolve_env(value: Any) -> Any:
    """``value`` with every ``${env:NAME}`` in it replaced; dicts and lists are copied.

    Raises:
        ConfigError: naming a variable that is not set.
    """
    if isinstance(value, str):
        return ENV_REFERENCE.sub(_variable, value)
    if isinstance(value, Mapping):
        return {key: resolve_env(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(resolve_env(item) for item in value)
    return value


def _variable(match: re.Match[str]) -> str:
    try:
        return os.environ[match[1]]
    except KeyError:
        raise ConfigError(f"the environment variable {match[1]} is not set ({match[0]})") from None


def env_names(config: Mapping[str, Any]) -> list[str]:
    """The environment variables that a config refers to, sorted."""
    return sorted({name for _, text in _texts(config) for name in ENV_REFERENCE.findall(text)})


def is_secret_key(key: str) -> bool:
    """Whether a key's name says that its value is a secret."""
    return bool(_SECRET_KEY.search(key))


def redacted(text: str) -> str:
    """``text`` with the passwords and tokens of the URIs in it hidden; environment references are no secrets."""
    kept = ENV_REFERENCE.findall(text)
    text = ENV_REFERENCE.sub("\0", text)
    text = _IN_URI.sub(lambda m: m[0] if m[2] == "\0" else f"{m[1]}:{HIDDEN}", text)
    text = _IN_QUERY.sub(lambda m: m[0] if m[2] == "\0" else f"{m[1]}{HIDDEN}", text)
    return _refill(text, kept)


def _refill(text: str, names: list[str]) -> str:
    parts = text.split("\0")
    if len(parts) != len(names) + 1:  # a reference was part of what is hidden
        return text.replace("\0", HIDDEN)
    return parts[0] + "".join(f"${{env:{name}}}{part}" for name, part in zip(names, parts[1:], strict=True))


def literal_secrets(config: Mapping[str, Any], origin: Callable[[str], str]) -> list[Problem]:
    """A problem for every secret that stands in a config as it is; ``origin`` gives the file of a key path."""
    problems = []
    for path, text in _texts(config):
        key = next((part for part in reversed(path.split(".")) if not part.isdecimal()), "")
        variable = re.sub(r"\W+", "_", key).upper()
        if is_secret_key(key) and not ENV_REFERENCE.search(text):
            message = f"a secret does not belong in a config; write '${{env:{variable}}}'"
            problems.append(Problem(message, path, origin(path)))
        elif redacted(text) != text:
            message = f"a secret does not belong in a config, found {redacted(text)!r}; write '${{env:NAME}}' for it"
            problems.append(Problem(message, path, origin(path)))
    return problems


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    for where, item in walk(value, path):
        if isinstance(item, Choice):
            for _, option in item.branches():
                yield from _texts(option, where)
        elif isinstance(item, str) and item:
            yield where, item
