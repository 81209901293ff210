"""Line: one thing of an MM config that did not come over as it was, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rayseg.config.describe import shown

Kind = Literal["missing", "differs", "dropped"]
KINDS: dict[Kind, str] = {
    "missing": "nothing stands for it yet",
    "differs": "something close stands for it",
    "dropped": "it means nothing here, nothing need be done",
}


@dataclass(frozen=True)
class Line:
    """One line of the list.

    Attributes:
        kind: ``missing``: nothing stands for it, so the result needs work; ``differs``: something close stands for
            it; ``dropped``: it means nothing here.
        key: dotted key path in the MM config.
        was: what stood there, shortened.
        why: why it did not come over as it was.
        do: what to do; empty when nothing need be.
    """

    kind: Kind
    key: str
    was: str
    why: str
    do: str = ""

    @property
    def section(self) -> str:
        """The section of the config that it belongs to."""
        return self.key.partition(".")[0]

    def as_dict(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.kind}: {self.key}: {self.text()}"

    def text(self) -> str:
        """What was found, why, and what to do."""
        return f"{f'{self.was}: ' if self.was else ''}{self.why}{f'; {self.do}' if self.do else ''}"


@dataclass
class Lines:
    """Collects lines; the same one twice counts once."""

    found: dict[Line, None] = field(default_factory=dict)

    def missing(self, key: str, was: Any, why: str, do: str) -> None:
        """Note that nothing stands for ``was``."""
        self._add("missing", key, was, why, do)

    def differs(self, key: str, was: Any, why: str, do: str = "") -> None:
        """Note that something close stands for ``was``."""
        self._add("differs", key, was, why, do)

    def dropped(self, key: str, was: Any, why: str) -> None:
        """Note that ``was`` means nothing here."""
        self._add("dropped", key, was, why, "")

    def sorted(self) -> tuple[Line, ...]:
        """What is missing first, then what differs; otherwise in the order in which they were found."""
        order = list(KINDS)
        return tuple(sorted(self.found, key=lambda line: order.index(line.kind)))

    def _add(self, kind: Kind, key: str, was: Any, why: str, do: str) -> None:
        text = "" if was is None else shown(was, key.rpartition(".")[2])
        self.found[Line(kind, key, text, why, do)] = None


def without_scope(name: Any) -> Any:
    """MM's ``mmpretrain.ConvNeXt`` or ``mmseg.IoUMetric`` without the scope; a dotted path of one's own stays."""
    scope, _, rest = name.partition(".") if isinstance(name, str) else ("", "", "")
    return rest if scope in SCOPES and "." not in rest else name


def dict_of(value: Any) -> dict[str, Any]:
    """``value`` as a dict; an empty one for what is no mapping."""
    return dict(value) if isinstance(value, Mapping) else {}


SCOPES = (
    "mmengine",
    "mmcv",
    "mmseg",
    "mmpretrain",
    "mmcls",
    "mmdet",
    "mmdet3d",
    "mmyolo",
    "mmagic",
    "mmpose",
    "mmrotate",
)


def replace_me(name: Any) -> str:
    """The dotted path of what has no counterpart: ``rayseg config`` refuses it until something else stands there."""
    word = "".join(letter for letter in str(name).rpartition(".")[2] if letter.isalnum() or letter == "_")
    return f"replace_me.{word or 'Something'}"
