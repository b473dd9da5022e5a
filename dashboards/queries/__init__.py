"""Questions: SQL over the published marts that gives a small frame, one module a page.

Belongs here: functions of a connection (with `marts` on its search path) and plain values. Does not: how a frame is drawn
(`charts`). A question reads what is shown and no more: series are thinned to the last reading of each stretch, never averaged.
"""
