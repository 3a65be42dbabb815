"""`llms.txt`, a list of the pages for machines that read, and `llms-full.txt`, the pages themselves (llmstxt.org)."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx


def write(app: Sphinx, failure: Exception | None) -> None:
    """Write both beside the pages, in the order of the navigation."""
    if failure is not None or app.builder.name != "html":
        return
    env, out = app.env, Path(app.outdir)
    names = [app.config.root_doc]
    for name in names:  # grows as it goes
        names += [each for each in env.toctree_includes.get(name, []) if each not in names]
    lines = [f"# {app.config.project}", "", f"> {_summary(app, names[0])}", "", "## Pages", ""]
    whole = []
    for name in names:
        title = env.titles[name].astext()
        lines.append(f"- [{title}]({name}.html): {_summary(app, name)}")
        text = "\n\n".join(_texts(env.get_doctree(name)))
        whole.append(f"# {title}\n\nPage: {name}.html\n\n{text}\n")
    (out / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "llms-full.txt").write_text("\n\n".join(whole), encoding="utf-8")


def _summary(app: Sphinx, name: str) -> str:
    for paragraph in app.env.get_doctree(name).findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if text:
            return re.split(r"(?<=[.!?]) ", text, maxsplit=1)[0].removesuffix(":")
    return ""


def _texts(tree: nodes.document) -> list[str]:
    """Return a page's texts in order: headings, paragraphs, and code as code."""
    found = []
    for node in tree.findall(lambda node: isinstance(node, nodes.title | nodes.paragraph | nodes.literal_block)):
        if isinstance(node, nodes.literal_block):
            found.append(f"```{node.get('language', '')}\n{node.astext().rstrip()}\n```")
        elif isinstance(node, nodes.title):
            found.append(f"## {node.astext()}")
        else:
            found.append(node.astext())
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Have it written when the pages are."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
