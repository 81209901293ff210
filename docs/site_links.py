"""For the site: links out of docs/, to files of the repository, become their names; the site has pages only."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs calls it for each page."""
    return OUTSIDE.sub(lambda match: match[1] if match[2] in match[1] else f"{match[1]} (`{match[2]}`)", markdown)
