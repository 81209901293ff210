"""Which of two scores is better: rules by a metric's name, for the hooks that compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from rayseg.core.errors import ConfigError, did_you_mean

Rule = Literal["greater", "less"]
GREATER_KEYS = ("acc", "iou", "dice", "score", "precision", "recall", "auc", "map", "top", "ar@")
LESS_KEYS = ("loss", "error", "time", "distance")


def guess_rule(
    metric: str, greater_keys: Iterable[str] = GREATER_KEYS, less_keys: Iterable[str] = LESS_KEYS
) -> Rule | None:
    """Whether more of a metric is better, by its name (case is ignored); None when the name does not say.

    A name that is one of the keys is decided by it. Else a part of the name decides, ``less`` before ``greater``, so
    that ``loss_acc`` is a loss. Of ``IoU.parking time`` only what stands before the dot is looked at: the rest is the
    name of a class.

    Args:
        metric: its name.
        greater_keys: names, or parts of names, of which more is better.
        less_keys: names, or parts of names, of which less is better.
    """
    name, kind = metric.lower(), metric.lower().partition(".")[0]
    greater, less = {word.lower() for word in greater_keys}, {word.lower() for word in less_keys}
    if name in greater or name in less:
        return "greater" if name in greater else "less"
    if any(word in kind for word in less):
        return "less"
    if any(word in kind for word in greater):
        return "greater"
    return None


def is_better(value: float, best: float | None, rule: Rule) -> bool:
    """Whether ``value`` beats ``best`` strictly."""
    if best is None:
        return True
    return value > best if rule == "greater" else value < best


def require_rule(rule: Rule | None, metric: str, key: str) -> Rule:
    """The rule; ConfigError if neither the config nor the metric's name says it, ``key`` being the config's."""
    if rule is None:
        raise ConfigError(f"{key}: the name {metric!r} does not say which is better; say 'greater' or 'less'")
    return rule


def require_metric(metric: str, known: Iterable[str], key: str) -> None:
    """Raise ConfigError if the validation has no such metric; ``key`` is the config's that names it."""
    names = set(known)
    if metric not in names:
        raise ConfigError(f"{key}: no metric {metric!r} in the validation{did_you_mean(metric, names)}")
