"""What a user asks for: resources of the group `auditlog.dev`, decoded and validated.

Belongs here: structs, their rules and their messages, as pure functions. Does not belong here: where a resource came
from, and what is made of it.
"""
