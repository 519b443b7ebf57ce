"""Pictures of the graph. Everything here reads `Graph` and nothing else."""

from .dot import dot_source, draw, notebook_svg
from .explain import Explanation, explain
from .text import graph_text

__all__ = ["Explanation", "dot_source", "draw", "explain", "graph_text", "notebook_svg"]
