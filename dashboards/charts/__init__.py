"""Charts: a frame of `queries` in, an Altair chart out.

Belongs here: shapes, colours, axes with units. Does not: what is asked, or where a chart stands on a page (`pages`).
"""
