"""Directives for what the package says of itself: its public names, and the help of its commands."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import dfinery_async
from dfinery_async.cli.app import app as command_line

_log = logging.getLogger(__name__)
_COLUMNS = "80"


class PublicNames(SphinxDirective):
    """`{public-names}`: documents the names that it lists."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Document the names, and note that they are."""
        names = [name for line in self.content for name in line.split()]
        listed: dict[str, str] = vars(self.env).setdefault("public_names", {})
        listed.update(dict.fromkeys(names, self.env.docname))
        lines = ["```{eval-rst}"]
        for name in names:
            kind = "autoclass" if isinstance(getattr(dfinery_async, name), type) else "autofunction"
            lines += [f".. {kind}:: dfinery_async.{name}", ""]
        return self.parse_text_to_nodes("\n".join([*lines, "```"]))


class Commands(SphinxDirective):
    """`{commands}`: the help of each command, as it prints it."""

    def run(self) -> list[nodes.Node]:
        """Run each command with `--help`."""
        found: list[nodes.Node] = []
        for words in _commands(command_line, ()):
            title = " ".join(("dfinery", *words))
            section = nodes.section(ids=["-".join(("dfinery", *words))], names=[title])
            section += nodes.title(text=title)
            text = _help(words)
            section += nodes.literal_block(text, text, language="text")
            found.append(section)
        return found


def _commands(app: Any, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    found = []
    for name in app:
        if name.startswith("-"):
            continue
        below = _commands(app[name], (*words, name))
        found += below or [(*words, name)]
    return found


def _help(words: tuple[str, ...]) -> str:
    code = "from dfinery_async.cli import main; main()"
    environment = {**os.environ, "COLUMNS": _COLUMNS, "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--help"], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def none_is_missing(_: Sphinx, env: BuildEnvironment) -> None:
    """Have the build fail on a public name that no page documents."""
    missing = set(dfinery_async.__all__) - set(vars(env).get("public_names", {})) - {"__version__"}
    if missing:
        _log.warning("public names that no page documents: %s", ", ".join(sorted(missing)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known."""
    app.add_directive("public-names", PublicNames)
    app.add_directive("commands", Commands)
    app.connect("env-check-consistency", none_is_missing)
    return {"parallel_read_safe": False}
