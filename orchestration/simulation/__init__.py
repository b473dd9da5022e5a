"""A month in minutes: the project's own decisions, acted out on a virtual clock against a provider that is made up.

Belongs here: the clock, the provider and its trouble, acting out sweeps and healing, the figures and the page made of them.
Does not: any decision. What is due, how urgent it is, who may send, what heals and how a slot ended are the project's own code.
"""
