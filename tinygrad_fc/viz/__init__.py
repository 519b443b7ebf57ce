"""Pictures of the graph: everything here reads it as `Graph` has it.

Still pictures: `scene` chooses what is said, from the `words` of each box, in the `parts` of a picture, and `hubs` are
drawn beside their readers; `dot` and `mermaid` write it in the colours of a `theme`; `render` and `settle` let Graphviz
draw.

The page: `cells` of the folded graph, with their `layout`, are packed by `embed`, the rules' text by `source` and
`formula`; `html` puts them together with the script of static/.

For whoever asks: `draw`, `notebook`, `text`, `explain` and `command`, which have what can be drawn from `target`.
"""

from .dot import dot_source
from .draw import draw
from .explain import Explanation, explain
from .notebook import notebook_html, notebook_svg
from .text import graph_text

__all__ = ["Explanation", "dot_source", "draw", "explain", "graph_text", "notebook_html", "notebook_svg"]
