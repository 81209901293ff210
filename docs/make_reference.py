"""Writes reference.md: every key of a config and every component that it may name, from signatures and docstrings.

python docs/make_reference.py          # writes docs/reference.md
python docs/make_reference.py --check  # exit code 1 if it is not what this would write
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rayseg.config.describe import type_name
from rayseg.config.sections import SECTIONS
from rayseg.config.settings import SETTINGS
from rayseg.config.signatures import parameters_of
from rayseg.core import registries
from rayseg.core.registry import Registry

OUT = Path(__file__).with_name("reference.md")
HEAD = """# Reference

Made from the signatures and docstrings of the code by `docs/make_reference.py`; [config.md](config.md) explains. Every
key may be a search leaf. None stands for "not there".
"""
# Registries in the order in which a config meets them; the others are libraries' names or MM's.
SHOWN = (
    "MODELS", "PREPROCESSORS", "LOSSES", "DATASETS", "TRANSFORMS", "METRICS", "LOOPS", "OPTIM_WRAPPERS",
    "OPTIM_CONSTRUCTORS", "PARAM_SCHEDULERS", "HOOKS", "TRACKERS", "SEARCHERS", "SWEEP_SCHEDULERS",
)  # fmt: skip


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in sys.argv:
        return int(not OUT.is_file() or OUT.read_text() != text)
    OUT.write_text(text)
    return 0


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_settings(), *_components()]) + "\n"


def _settings() -> Iterator[str]:
    yield "## Sections that are settings\n"
    kinds: dict[type, list[str]] = {}
    for name, kind in SETTINGS.items():
        kinds.setdefault(kind, []).append(name)
    for kind, names in kinds.items():
        yield f"### {', '.join(names)}\n"
        yield _summary(kind, drop="``:") + "\n"
        told = _entries(kind)
        yield "| key | default | |\n|---|---|---|"
        for field in dataclasses.fields(kind):
            default = field.default if field.default is not dataclasses.MISSING else None
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            yield f"| `{field.name}` | `{default!r}` | {told.get(field.name, '')} |"
        yield ""
    rest = [name for name in SECTIONS if name not in SETTINGS]
    yield f"The other sections are components or lists of them: {', '.join(f'`{name}`' for name in rest)}.\n"


def _components() -> Iterator[str]:
    for name in SHOWN:
        registry: Registry = getattr(registries, name)
        yield f"## Every {registry.kind}\n"
        for short in sorted(registry._names):
            yield from _component(short, registry)


def _component(short: str, registry: Registry) -> Iterator[str]:
    component = registry.resolve(short)
    yield f"### {short}\n"
    yield _summary(component) + "\n"
    try:
        parameters = parameters_of(component).named
    except (TypeError, ValueError):
        return
    own = {name: parameter for name, parameter in parameters.items() if name not in registry.supplied}
    if not own:
        return
    told = _entries(component)
    yield "| argument | type | default | |\n|---|---|---|---|"
    for name, parameter in own.items():
        default = "needed" if parameter.required else f"`{_plain(parameter.default)}`"
        kind = type_name(parameter.annotation).replace("|", "\\|")
        yield f"| `{name}` | {kind} | {default} | {told.get(name, '')} |"
    yield ""


def _plain(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def _summary(component: Any, drop: str = "") -> str:
    """The docstring up to its first section, as one paragraph."""
    text = re.split(r"\n\s*(?:Args|Attributes|Raises|Returns|Example)s?:\n", inspect.getdoc(component) or "")[0]
    if drop and drop in text.partition("\n")[0]:
        text = text.partition(drop)[2].strip()
        text = text[:1].upper() + text[1:]
    return _inline(" ".join(text.split()))


def _entries(component: Any) -> dict[str, str]:
    """Argument → what is said of it, also by the classes that it is derived from."""
    told: dict[str, str] = {}
    for kind in reversed(inspect.getmro(component) if isinstance(component, type) else (component,)):
        for doc in (kind.__doc__, getattr(getattr(kind, "__init__", None), "__doc__", None)):
            for section in re.findall(
                r"(?:Args|Attributes):\n(.*?)(?:\n\n|\Z)", inspect.cleandoc(doc or ""), re.DOTALL
            ):
                for entry in re.split(r"\n(?=\S)", textwrap.dedent(section).strip("\n")):
                    names, _, text = entry.partition(":")
                    for name in re.split(r",\s*", names):
                        if name.isidentifier():
                            told[name] = _inline(" ".join(text.split()))
    return told


def _inline(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main())
