"""The graph as data: what drawings, checks and exporters read. Nothing outside the engine but `Graph` walks parents."""

from .box import GraphNode, brief
from .graph import Graph

__all__ = ["Graph", "GraphNode", "brief"]
