"""Sphinx configuration: ``python -m sphinx -W -b html docs docs/_build/html``."""

from importlib.metadata import version as version_of

project = "sm_lmer"
author = "the sm_lmer developers"
copyright = "2026, the sm_lmer developers"
version = release = version_of("sm_lmer")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "jupyter_execute", "gallery/*.py"]
nitpicky = False

# Pages are MyST Markdown; those with code cells are notebooks and run in every build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "sm_lmer"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
