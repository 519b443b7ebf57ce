"""Pictures of the graph. Everything here reads `Graph` and nothing else."""

from .dot import dot_source
from .draw import draw
from .explain import Explanation, explain
from .notebook import notebook_html, notebook_svg
from .text import graph_text

__all__ = ["Explanation", "dot_source", "draw", "explain", "graph_text", "notebook_html", "notebook_svg"]
