"""Pictures: a chart as Mermaid, a session as a graphviz.Digraph and as SVG, with its way and what is enabled marked.

In the explorer: #submit,outbound_begin,logoff_orderly
"""

from xml.etree import ElementTree

from examples.turnstile import TURNSTILE
from fsm import draw
from fsm.logoff import StoreSession

print(draw.mermaid(TURNSTILE))

session = StoreSession(ready=1)
session.outbound_begin()
session.logoff_orderly()
graph = draw.graph(session)  # as people who come from transitions' GraphMachine expect
print(type(graph).__module__, type(graph).__name__, len(graph.source) > 1000)

picture = draw.svg(session, renderer="embedded")  # needs no system program; `dot` is used when it is there
root = ElementTree.fromstring(picture)
rows = [node for node in root.iter() if node.get("id", "").startswith("t-")]
print(len(rows), "rows, each exactly once; title:", root.findtext("{http://www.w3.org/2000/svg}title"))
