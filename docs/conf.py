"""Settings of the site: `nox -s docs` builds it, and takes each warning for an error."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

from dfinery_async import __version__

project = "dfinery-async"
author = "The dfinery-async developers"
copyright = "the dfinery-async developers; Apache-2.0"  # noqa: A001 - Sphinx wants this name
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "reference",
    "repository",
    "llms",
]
exclude_patterns = ["_site"]
default_role = "code"
suppress_warnings = [
    "misc.highlighting_failure",  # CSV has no colours
    "myst.header",  # the tour is a part of README.md, whose headings begin lower
]

html_theme = "furo"
html_title = f"dfinery-async {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
html_show_sphinx = False

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "inherited-members": "BaseException, Exception, Struct, object"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
