"""The graph as data: what drawings, checks and exporters read. Nothing outside the engine but `Graph` walks parents."""

from .graph import Graph, GraphNode, brief

__all__ = ["Graph", "GraphNode", "brief"]
