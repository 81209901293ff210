"""What an annotation may say besides its type, for sections whose keys are more than a constructor's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rayseg.core.registry import Registry


@dataclass(frozen=True)
class Rule:
    """A test that the value must pass; ``expected`` completes "expected ...", ``names`` are for suggestions."""

    test: Callable[[Any], bool]
    expected: str
    names: tuple[str, ...] = ()


def at_least(minimum: int) -> Rule:
    """A number that is not below ``minimum``."""
    return Rule(lambda value: value >= minimum, f"at least {minimum}")


def above(minimum: float) -> Rule:
    """A number above ``minimum``."""
    return Rule(lambda value: value > minimum, f"above {minimum}")


@dataclass(frozen=True)
class Advice:
    """A sentence that is added to the error when the value does not fit."""

    text: str


@dataclass(frozen=True)
class Named:
    """The value is the name of a component of ``registry``, or the class itself, not a dict."""

    registry: Registry


@dataclass(frozen=True, eq=False)
class ComponentKeys:
    """Keys that a component's dict holds besides the arguments of its class.

    Attributes:
        annotations: key to annotation.
        derived: key to a function from the dict to the annotation, where one depends on another key.
        required: those that must be there.
        default_type: the ``type`` that is meant when none is given.
    """

    annotations: Mapping[str, Any] = field(default_factory=dict)
    derived: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    default_type: str | None = None
