"""Links from a page to a file of the repository: the site has no such file, and shows where it stands instead."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(\.\./([^)#]+)\)")


def name_files(app: Sphinx, _: str, source: list[str]) -> None:
    """Turn `[text](../path)` into text and path, if there is such a file; if not, the build fails on the link."""
    root = Path(app.srcdir).parent

    def name(found: re.Match[str]) -> str:
        return f"{found[1]} (`{found[2]}`)" if (root / found[2]).exists() else found[0]

    source[0] = _LINK.sub(name, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Have every page read this way."""
    app.connect("source-read", name_files)
    return {"parallel_read_safe": True}
