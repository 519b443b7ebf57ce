"""Pictures of the graph. Everything here reads `Graph` and nothing else."""

from .dot import dot_source, draw, notebook_svg

__all__ = ["dot_source", "draw", "notebook_svg"]
