"""What every HTTP function shares: who calls, what is answered, which routes exist, whether the process is ready.

Nothing here knows a stream or a database: a shard is whatever has a view of its configuration.
"""
