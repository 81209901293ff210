# ruff: noqa: C408, E501, UP007, UP045 (tables of configs, written as configs are)
from __future__ import annotations

import collections.abc
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypedDict, TypeVar, Union

import pytest
from pydantic import Field

from rayseg.config.checker import Checker
from rayseg.config.markers import Advice, at_least
from rayseg.core.registries import NETS
from rayseg.search import choice, grid, loguniform, quniform, randint, uniform

T = TypeVar("T")


class Colour(enum.Enum):
    RED = 1


class Keys(TypedDict, total=False):
    low: float
    name: str


@dataclass
class Settings:
    size: int
    name: str = "x"


class Net: ...


COMPONENT = Annotated[Any, NETS]


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, int),
        (1, float),
        (1.5, float),
        (float("nan"), float),
        (True, bool),
        ("x", str),
        (None, None),
        (None, Optional[int]),
        (object(), Any),
        (3, T),
        ([1, 2], list[int]),
        ([1, 2], tuple[int, int]),
        ((1, 2), tuple[int, int]),
        ((1, 2, 3), tuple[int, ...]),
        ([], tuple[int, ...]),
        ([1], Sequence[int]),
        ((1,), collections.abc.Iterable[float]),
        (range(3), Sequence[int]),
        ([1], list),
        ((), tuple),
        ([1], set[int]),
        ({"a": 1}, dict),
        ({"a": 1}, dict[str, float]),
        ({1: "a"}, collections.abc.Mapping[int, str]),
        ("a", Literal["a", "b"]),
        (len, Callable[..., Any]),
        (len, Callable),
        ("a/b", Path),
        (Colour.RED, Colour),
        (3, Annotated[int, Field(gt=2)]),
        (1, Annotated[int, at_least(1)]),
        ({"low": 1}, Keys),
        ({"size": 1}, Settings),
        (Settings(1), Settings),
        (dict(type="Net", depth=1), COMPONENT),
        (Net(), COMPONENT),
        ([dict(type="Net", depth=1), Net()], COMPONENT | list[COMPONENT]),
        (loguniform(1e-5, 1), float),
        (uniform(0, 1), float | str),
        (randint(1, 5), int),
        (randint(1, 5), float),
        (choice([1, 2.5]), float),
        (choice([None, (1, 2)]), tuple[int, int] | None),
        (choice(["a", choice(["b"])]), Literal["a", "b"]),
        (grid([1, 2]), int),
        ([choice([1, 2]), randint(0, 4)], tuple[int, int]),
        (randint(1, 3), Literal[1, 2]),
        (choice(a=dict(type="Net", depth=randint(1, 3))), COMPONENT),
        (dict(type=choice(["Net", "OpenNet"]), depth=1, encoder_name="x"), Any),
    ],
    ids=repr,
)
def test_fits(value: Any, annotation: Any) -> None:
    checker = Checker(lambda path: "")
    checker.value(value, annotation, "key")
    assert [str(problem) for problem in checker.problems] == []


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("no", bool, "key: expected bool, found 'no'; did you mean False?"),
        ("True", bool | None, "key: expected bool | None, found 'True'; did you mean True?"),
        ("none", Optional[int], "key: expected int | None, found 'none'; did you mean None?"),
        ("no", str | int, None),
        (1, bool, "key: expected bool, found 1"),
        (True, int, "key: expected int, found True"),
        (True, float, "key: expected float, found True"),
        (4.0, int, "key: expected int, found 4.0; write 4"),
        (4.5, int, "key: expected int, found 4.5"),
        ("1e-4", float, "key: expected float, found '1e-4'; write the number without quotes"),
        (None, int, "key: expected int, found None"),
        (3, str, "key: expected str, found 3"),
        ("bfloat", Literal["float16", "bfloat16"], "key: expected 'float16' | 'bfloat16', found 'bfloat'; did you mean 'bfloat16'?"),
        (1, Literal[True], "key: expected True, found 1"),
        ((1, 2), list[int], "key: expected list[int], found (1, 2)"),
        ([1, 2, 3], tuple[int, int], "key: expected tuple[int, int], found [1, 2, 3]"),
        ([1, "x"], tuple[int, int], "key.1: expected int, found 'x'"),
        ("abc", Sequence[str], "key: expected Sequence[str], found 'abc'"),
        (3, Sequence[int], "key: expected Sequence[int], found 3"),
        ({"a": "x"}, dict[str, int], "key.a: expected int, found 'x'"),
        ({1: 1}, dict[str, int], "key.1: expected str, found 1"),
        ([1], dict, "key: expected dict, found [1]"),
        (3, Callable[..., Any], "key: expected a function, found 3"),
        (1, Colour, f"key: expected {__name__}.Colour, found 1"),
        (0, Annotated[int, at_least(1)], "key: expected int (at least 1), found 0"),
        (0, Annotated[int, at_least(1)] | None, "key: expected int (at least 1) | None, found 0"),
        (3, Annotated[int, Field(lt=2)], "key: expected int (less than 2), found 3"),
        (3, Annotated[Literal[False], Advice("never")], "key: expected False, found 3; never"),
        ((1,), int, "key: expected int, found (1,). Is there a trailing comma?"),
        (([1],), list[int], "key: expected list[int], found ([1],). Is there a trailing comma?"),
        ({"lo": 1}, Keys, "key.lo: no such key (found 1); did you mean 'low'?"),
        ({"zzz": 1}, Keys, "key.zzz: no such key (found 1); it takes low, name"),
        (3, Keys, "key: expected dict, found 3"),
        ({"size": "x"}, Settings, "key.size: expected int, found 'x'"),
        ({"siz": 1}, Settings, "key.siz: no such key (found 1); did you mean 'size'?"),
        ({}, Settings, "key: 'size' (int) is missing"),
        (loguniform(1e-5, 1), int, "key: expected int, found loguniform(1e-05, 1); its values are float"),
        (quniform(0, 4, 1), int, "key: expected int, found quniform(0, 4, 1); its values are float"),
        (randint(1, 4), str, "key: expected str, found randint(1, 4); its values are int"),
        (randint(0, 1000), Annotated[int, at_least(1)], "key: expected int (at least 1), found randint(0, 1000); its values are int"),
        (randint(1, 5), Literal[1, 2], "key: expected 1 | 2, found randint(1, 5); its values are int"),
        (choice([1, "x"]), int, "key[1]: expected int, found 'x'"),
        (choice(a=1, b="x"), int, "key[b]: expected int, found 'x'"),
        (grid([1, None]), int, "key[1]: expected int, found None"),
        (choice(a=dict(type="Net", dept=1)), COMPONENT, "key[a].dept: Net takes no 'dept' (found 1); did you mean 'depth'?"),
        (dict(type=choice(["Net", "Nett"]), depth=1), COMPONENT, "key.type: unknown network 'Nett'; did you mean 'Net'?"),
        ("Net", COMPONENT, "key: expected dict(type=...) of a network, such as dict(type='Net'), found 'Net'"),
        (None, COMPONENT, "key: expected dict(type=...) of a network, found None"),
        ((dict(type="Net"),), COMPONENT, "key: expected dict(type=...) of a network, found ({'type': 'Net'},). Is there a trailing comma?"),
        (Net, COMPONENT, "key: expected dict(type=Net, ...) or an instance, found the class Net"),
        (dict(depth=1), COMPONENT, "key: a network needs a 'type', found dict(depth=1)"),
        (dict(type=3), COMPONENT, "key.type: expected the name of a network or a class, found 3"),
        ([dict(type="Nett")], COMPONENT | list[COMPONENT], "key.0.type: unknown network 'Nett'; did you mean 'Net'?"),
        (dict(type="Nett"), COMPONENT | list[COMPONENT], "key.type: unknown network 'Nett'; did you mean 'Net'?"),
        ("x", COMPONENT | list[COMPONENT], "key: expected dict(type=...) of a network | list[dict(type=...) of a network], found 'x'"),
        ("x", Union[int, list[int]], "key: expected int | list[int], found 'x'"),
        (["x"], Union[int, list[int]], "key.0: expected int, found 'x'"),
    ],
    ids=repr,
)  # fmt: skip
def test_messages(value: Any, annotation: Any, message: str | None) -> None:
    checker = Checker(lambda path: "")
    checker.value(value, annotation, "key")
    assert [str(problem) for problem in checker.problems] == ([message] if message else [])


def test_found_values_are_short_and_hold_no_secret() -> None:
    checker = Checker(lambda path: "")
    checker.value("s3cret", int, "tracker.api_key")
    checker.value("http://me:s3cret@host/" + "x" * 100, int, "uri")
    checker.value(dict(token="s3cret", a=1), int, "key")
    text = "\n".join(map(str, checker.problems))
    assert "s3cret" not in text
    assert max(map(len, text.splitlines())) < 120
