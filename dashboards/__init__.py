"""Dashboards over the published copy, for a browser: `htw dashboard`.

Rooms: `published` follows the copy; `queries` turn a connection into frames; `charts` turn frames into charts; `pages` put both before
people, and alone know Streamlit. Imports point one way: pages -> charts | queries | published -> warehouse.
"""
