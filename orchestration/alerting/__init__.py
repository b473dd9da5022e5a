"""Alerts: what is wrong now (`problems`), whom to tell of it and when (`notices`), how (`channels`), all at once (`looking`).

Silent where no channel is set. Nothing here knows when it is called: a sensor or a command does.
"""
