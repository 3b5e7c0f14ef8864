"""From what is wanted and what is observed to what is done, until nothing is left to do.

Plans are pure functions; `converge` observes, plans and applies. Steady state writes nothing.
"""
