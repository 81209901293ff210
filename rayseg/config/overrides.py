"""Overrides: ``a.b.c=value`` from the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rayseg.config.config import COMMAND_LINE
from rayseg.config.describe import shown
from rayseg.config.merge import Origins, merge, set_origin
from rayseg.config.search import CALLS, Choice, call_leaf
from rayseg.config.tree import DELETE, ConfigDict, join, without_delete
from rayseg.core.errors import ConfigError, Problem

_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def apply_overrides(
    tree: Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any], origins: Origins
) -> ConfigDict:
    """A copy of ``tree`` with ``overrides`` applied in order; ``origins`` is updated.

    A dict is merged into a dict, anything else replaces. A key that does not exist is made: the checker says whether
    it may exist. A key path that leads into a choice holds for whichever option is drawn, so it changes each of them.

    Raises:
        ConfigError: every override that has no ``=``, whose value cannot be made, or whose key path leads nowhere.
    """
    result = ConfigDict(tree)
    problems: list[Problem] = []
    pairs = overrides.items() if isinstance(overrides, Mapping) else overrides
    for pair in pairs:
        try:
            key, value = parse_override(pair) if isinstance(pair, str) else pair
            result = _with(result, key.split("."), value, "", origins)
        except ConfigError as error:
            key = pair.partition("=")[0] if isinstance(pair, str) else pair[0]
            problems.append(Problem(str(error), key, COMMAND_LINE))
    if problems:
        raise ConfigError(problems)
    return result


def parse_override(text: str) -> tuple[str, Any]:
    """Key path and value of ``a.b.c=value``.

    Raises:
        ConfigError: no ``=``, no key, or a search call with wrong arguments.
    """
    key, equals, value = text.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise ConfigError("expected key=value, such as train_cfg.max_iters=300")
    return key.strip(), parse_value(value)


def parse_value(text: str) -> Any:
    """A Python literal, ``dict(...)``, ``float('inf')`` or a search call; everything else is the text itself.

    Inside brackets and calls a plain word is a text too, ``[land, water]``, and in a list or tuple whatever is no
    literal: ``[data/a, (b-c, 2)]``.

    Raises:
        ConfigError: a search call with wrong arguments, brackets that do not match.
    """
    try:
        expression = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _sequence(text)
    if isinstance(expression, ast.Name | ast.Attribute):
        return text
    try:
        if isinstance(expression, ast.Tuple) and not text.strip().startswith("("):
            return ast.literal_eval(expression)
        return _evaluate(expression)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        match expression:
            case ast.List() | ast.Tuple():
                return _sequence(text)
            case ast.Dict() | ast.Call(func=ast.Name(id="dict" | "choice" | "grid")):
                raise ConfigError(f"cannot read {shown(text)} ({error}); put quotes around the texts in it") from None
        return text


def _sequence(text: str) -> Any:
    """The list or tuple whose items are read one by one, or the text itself when it has no brackets around it."""
    inner = text.strip()
    if inner[:1] + inner[-1:] not in ("[]", "()"):
        return text
    items = [parse_value(item.strip()) for item in _split(inner[1:-1], text) if item.strip()]
    return items if inner[0] == "[" else tuple(items)


def _split(text: str, whole: str) -> Iterator[str]:
    """``text`` between the commas that are in no quotes and no brackets of their own."""
    item, quote, open_brackets = "", "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _BRACKETS:
            open_brackets += _BRACKETS[character]
        elif character in _BRACKETS.values():
            if not open_brackets.endswith(character):
                raise ConfigError(f"cannot read {shown(whole)} (brackets do not match)")
            open_brackets = open_brackets[:-1]
        elif character == "," and not open_brackets:
            yield item
            item = ""
            continue
        item += character
    if quote or open_brackets:
        raise ConfigError(f"cannot read {shown(whole)} ({'quotes' if quote else 'brackets'} do not match)")
    yield item


def _evaluate(node: ast.expr) -> Any:
    match node:
        case ast.Name() | ast.Attribute():
            return ast.unparse(node)
        case ast.List(elts=items):
            return [_evaluate(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_evaluate(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return {_evaluate(key): _evaluate(value) for key, value in zip(_no_stars(keys), values, strict=True)}
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(word))], keywords=[]):
            return float(word)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name == "dict" or name in CALLS:
            names = _no_stars([keyword.arg for keyword in keywords])
            named = {key: _evaluate(keyword.value) for key, keyword in zip(names, keywords, strict=True)}
            given = [_evaluate(arg) for arg in args]
            return dict(*given, **named) if name == "dict" else call_leaf(name, *given, **named)
    return ast.literal_eval(node)


def _no_stars(names: list[Any]) -> list[Any]:
    if None in names:
        raise ValueError("no ** in an override")
    return names


def _with(old: Any, parts: list[str], value: Any, path: str, origins: Origins) -> Any:
    """``old``, which stands at ``path``, with ``value`` at the keys ``parts`` below it."""
    if not parts:
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not value.get(DELETE, False):
            return merge(old, value, origins, {path: COMMAND_LINE}, path)
        set_origin(origins, path, COMMAND_LINE)
        return without_delete(value)
    if isinstance(old, Choice):
        options = [_with(option, parts, value, f"{path}[{label}]", origins) for label, option in old.branches()]
        return replace(old, options=tuple(options))
    if old is None:
        old = ConfigDict()
        set_origin(origins, path, COMMAND_LINE)
    if isinstance(old, Mapping):
        key, rest = _next_key(old, parts)
        return ConfigDict({**old, key: _with(old.get(key), rest, value, join(path, key), origins)})
    if isinstance(old, list | tuple):
        index = _index(old, parts[0], path)
        items = list(old)
        items[index] = _with(items[index], parts[1:], value, join(path, index), origins)
        return type(old)(items)
    raise ConfigError(f"{path} is {shown(old)}, which has no {parts[0]!r}")


def _next_key(place: Mapping[Any, Any], parts: list[str]) -> tuple[Any, list[str]]:
    """The key that the first parts mean: one with dots in it, or a number, where there is such a key."""
    for count in range(len(parts), 0, -1):
        if (key := ".".join(parts[:count])) in place:
            return key, parts[count:]
    is_number = parts[0].isdecimal() and int(parts[0]) in place
    return (int(parts[0]) if is_number else parts[0]), parts[1:]


def _index(items: list[Any] | tuple[Any, ...], part: str, path: str) -> int:
    if not part.removeprefix("-").isdecimal() or not -len(items) <= int(part) < len(items):
        allowed = f"0 to {len(items) - 1}" if items else "none, it is empty"
        raise ConfigError(f"{path} is a list; expected an index ({allowed}), found {part!r}")
    return int(part) % len(items)
