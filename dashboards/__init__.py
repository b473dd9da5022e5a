"""Dashboards over the published copy, for a browser: `htw dashboard`.

Rooms: `published` holds a version of the copy open; `queries` turn a connection into frames; `charts` turn frames into charts;
`pages` put both before people, and alone know Streamlit. Imports point one way: pages -> charts | queries | published, and from
there to warehouse.
"""
