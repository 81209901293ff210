"""Rows of a layer table: from a pattern of parameter names to the layer that they belong to."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from rayseg.core.errors import ConfigError, did_you_mean

LAST, HEAD = "last", "head"
# Numbers that a row with {stage} may use besides its own placeholders.
STAGE_SUMS = ("before", "through")
_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_PIECES = re.compile(r"\{(\w*)\}|(\*)|(\?)")


@dataclass(frozen=True)
class LayerRow:
    """A row of a layer table.

    Attributes:
        pattern: a parameter's name or its beginning up to a dot. ``{word}`` stands for a number, ``*`` for any text,
            ``?`` for one character.
        layer: a number from 0; ``'last'``, which is ``num_layers`` (where a table alone counts them, one above its
            greatest number); ``'head'``, which has the full learning rate; or
            whole-number arithmetic (``+ - * //``) over the pattern's words, ``'block + 1'``. Beside ``{stage}`` there
            are ``before`` and ``through``: the blocks of the stages before this one, and through this one.
        stage: the same for ``stage_wise``; None where there are no stages.

    Raises:
        ConfigError: a pattern or a layer that is none.
    """

    pattern: str
    layer: int | str
    stage: int | str | None = None

    def __post_init__(self) -> None:
        compiled(self.pattern)
        for value in (self.layer, self.stage):
            if isinstance(value, str) and value not in (LAST, HEAD):
                evaluate(value, dict.fromkeys(self.words, 1))
            elif value is not None and not isinstance(value, str) and (type(value) is not int or value < 0):
                raise ConfigError(f"expected a number from 0, '{LAST}', '{HEAD}' or arithmetic, found {value!r}")

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled; to be matched at the beginning of a name."""
        return compiled(self.pattern)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """What arithmetic may be done with."""
        own = tuple(self.regex.groupindex)
        return (*own, *STAGE_SUMS) if "stage" in own else own

    def numbers(self, name: str) -> dict[str, int] | None:
        """The values of the pattern's words in a name; None when it does not match."""
        match = self.regex.match(name)
        return None if match is None else {word: int(value) for word, value in match.groupdict().items()}


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression.

    Raises:
        ConfigError: it is empty, or a word in braces is none or stands twice.
    """
    if not pattern:
        raise ConfigError("expected a pattern such as 'net.encoder.blocks.{block}', found ''")
    expression, end = "", 0
    for piece in _PIECES.finditer(pattern):
        word, many, one = piece.groups()
        expression += re.escape(pattern[end : piece.start()]) + (".*" if many else "." if one else rf"(?P<{word}>\d+)")
        end = piece.end()
    try:
        return re.compile(rf"{expression}{re.escape(pattern[end:])}(?=\.|$)")
    except re.error:
        raise ConfigError(f"{pattern!r}: each pair of braces holds a word of its own, as in '{{block}}'") from None


def evaluate(text: str, numbers: Mapping[str, int]) -> int:
    """The value of whole-number arithmetic, such as ``'3 + block // 3'``.

    Raises:
        ConfigError: it is none, or uses a word that the pattern has not.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        raise ConfigError(f"{text!r} is no arithmetic such as 'block + 1'") from None
    try:
        return _value(tree, numbers)
    except ZeroDivisionError:
        raise ConfigError(f"{text!r} divides by zero") from None
    except LookupError as error:
        word = str(error.args[0])
        hint = did_you_mean(word, numbers) or f"; its pattern has {', '.join(numbers) or 'no words in braces'}"
        alone = f" ('{LAST}' and '{HEAD}' stand alone)" if word in (LAST, HEAD) else ""
        raise ConfigError(f"{text!r}: {word!r} is no number here{alone}{hint}") from None
    except TypeError:
        raise ConfigError(f"{text!r}: only whole numbers, words and + - * // are known") from None


def _value(node: Any, numbers: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return numbers[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, numbers), _value(node.right, numbers))
    raise TypeError
