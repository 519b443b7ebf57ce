"""Sphinx configuration. `make docs` builds with warnings as errors, and runs every page's code while it does."""

import shutil
from pathlib import Path

import tinygrad_fc

project = "tinygrad_fc"
author = "the tinygrad_fc authors"
copyright = f"2026, {author}"
version = release = tinygrad_fc.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_build"]
templates_path = []

# Pages are notebooks written as text. They run anew at each build, so what a page shows is what the code does; a cell
# that raises fails the build (one that is to raise is tagged `raises-exception`).
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Signatures carry the annotations as written; types are explained in the docstrings.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# The notebooks of examples/ are pages as well, with the results that they were committed with: they need CIFAR-10.
nb_execution_excludepatterns = ["notebooks/*"]
_here = Path(__file__).parent
shutil.rmtree(_here / "notebooks", ignore_errors=True)
(_here / "notebooks").mkdir()
for _path in sorted((_here.parent / "examples").glob("*.ipynb")):
    shutil.copy(_path, _here / "notebooks")

html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme = "pydata_sphinx_theme"
html_title = "tinygrad_fc"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "tinygrad_fc"},
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"**": []}  # no page has pages below it, so a section menu would be empty
