"""How the documentation is built: Sphinx reads the Markdown of this folder (`make docs`). Warnings are errors."""

from typing import Final

from coordinator import __version__

project = "test-coordinator"
author = "the project"
release = version = __version__
copyright = ""  # noqa: A001  # Sphinx names its settings

extensions: Final = ["myst_parser"]
# Pages of the past, which name files as they were.
exclude_patterns: Final = ["prs/**"]
myst_enable_extensions: Final = ["colon_fence"]
myst_heading_anchors = 3
# A link to a heading is checked, as a link to a page is.
nitpicky = True

html_theme = "furo"
html_title = f"test-coordinator {__version__}"
html_copy_source = False
html_show_copyright = False
# Loaded from nowhere else: the pages are read where there is no network.
html_theme_options: Final = {"source_repository": ""}
