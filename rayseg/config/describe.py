"""Values and types in the words of an error message."""

from __future__ import annotations

import collections.abc
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rayseg.config.markers import Named, Rule
from rayseg.config.search import Range
from rayseg.config.secrets import HIDDEN, is_secret_key, redacted
from rayseg.core.errors import nearest
from rayseg.core.registry import Registry

LONGEST = 60
UNIONS = (Union, types.UnionType)
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None, "null": None}


def shown(value: Any, key: str = "") -> str:
    """A value as one short line, secrets hidden."""
    if isinstance(value, str) and value and is_secret_key(key):
        return repr(HIDDEN)
    text = redacted(" ".join(repr(value).split()))
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        text = f"dict({', '.join(f'{name}={shown(item, name)}' for name, item in value.items())})"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def with_article(noun: str) -> str:
    """``a loop``, ``an optimizer``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def describe_error(error: BaseException) -> str:
    """An exception on one line, with the place where it was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    is_in_file = frames and Path(frames[-1].filename).parent.name != "importlib"
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if is_in_file else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def type_name(annotation: Any) -> str:
    """An annotation in words: ``int | None``, ``list[dict(type=...) of a loss]``."""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Any:
        return "anything"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated_name(args[0], args[1:])
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in UNIONS:
        return " | ".join(dict.fromkeys(type_name(arg) for arg in args))
    if origin is collections.abc.Callable or annotation is collections.abc.Callable:
        return "a function"
    if origin is not None:
        inner = ", ".join("..." if arg is ... else type_name(arg) for arg in args)
        return f"{_class_name(origin)}[{inner}]"
    return _class_name(annotation)


def _annotated_name(base: Any, metadata: tuple[Any, ...]) -> str:
    for item in metadata:
        if isinstance(item, Registry):
            return f"dict(type=...) of {with_article(item.kind)}"
        if isinstance(item, Named):
            return f"the name of {with_article(item.registry.kind)}"
        if isinstance(item, Rule):
            return item.expected if base is Any else f"{type_name(base)} ({item.expected})"
    return type_name(base)


def _class_name(kind: Any) -> str:
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
        return "dict"
    if getattr(kind, "__total__", None) is not None:
        return "dict"
    module, name = getattr(kind, "__module__", ""), getattr(kind, "__qualname__", None) or str(kind)
    return name if module in ("builtins", "collections.abc", "typing") else f"{module}.{name}"


def hint(value: Any, annotation: Any) -> str:
    """What to write instead, where a slip is easy to recognise; starts with ``; `` or is empty."""
    options = list(_literals(annotation))
    if isinstance(value, str):
        if value.lower() in _WORDS and any(type(o) is type(_WORDS[value.lower()]) for o in _leaf_values(annotation)):
            return f"; did you mean {_WORDS[value.lower()]}?"
        if match := nearest(value, [option for option in options if isinstance(option, str)]):
            return f"; did you mean {match!r}?"
        if _is_number(value) and {int, float} & set(_arms(annotation)):
            return "; write the number without quotes"
    if type(value) is float and value.is_integer() and int in _arms(annotation):
        return f"; write {int(value)}"
    if isinstance(value, Range):
        return "; its values are " + ("int" if value.kind == "randint" else "float")
    return ""


def _arms(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _arms(get_args(annotation)[0])
    if origin in UNIONS:
        return [arm for arg in get_args(annotation) for arm in _arms(arg)]
    return [annotation]


def _leaf_values(annotation: Any) -> list[Any]:
    """An example for each of bool and None that an annotation takes."""
    arms = _arms(annotation)
    return ([True] if bool in arms else []) + ([None] if type(None) in arms else [])


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        for item in get_args(annotation)[1:]:
            yield from getattr(item, "names", ())
    for arm in _arms(annotation):
        if get_origin(arm) is Literal:
            yield from get_args(arm)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
