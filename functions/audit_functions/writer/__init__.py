"""The writer: a shard's stream into PostgreSQL, exactly once, in order.

What a message becomes is decided by pure modules (`reading`, `producers`, `settle`, `stream_check`, `trim`), from the
stream and from what is stored; `service` moves messages, batches and errors between the ports, which adapters fill
in `run`. Nothing here answers HTTP requests of callers, and nothing decides by the clock what is stored.
"""
