"""Templates of the package, filled in; everything that comes from a run is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

# What could end the script element, or a line of JavaScript, in embedded JSON.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render(template: str, scripts: Sequence[str] = ("axes.js", "charts.js"), **values: Any) -> str:
    """A template of the package with its style and scripts inlined.

    The page forbids itself to load anything, and to run any script but its own.

    Args:
        template: its file.
        scripts: files that become one script.
        values: for the template.
    """
    environment = Environment(
        loader=FunctionLoader(template_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = '(() => {\n"use strict";\n' + "".join(map(template_text, scripts)) + "})();\n"
    return environment.get_template(template).render(
        style=Markup(template_text("style.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        json=embedded_json,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **values,
    )


def embedded_json(value: Any) -> Markup:
    """``value`` as JSON that is harmless between ``<script>`` and ``</script>``."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def template_text(name: str) -> str:
    """A file of ``rayseg/reporting/templates``."""
    return (resources.files("rayseg.reporting") / "templates" / name).read_text(encoding="utf-8")
