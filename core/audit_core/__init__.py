"""What an audit event is, as arithmetic: bytes, names and rules that every part shares.

Belongs here: data types and pure functions over them. Does not belong here: I/O, clocks, randomness,
environment, asyncio. Time, ids and random bytes are parameters, so that a replay gives the same bytes.
"""
