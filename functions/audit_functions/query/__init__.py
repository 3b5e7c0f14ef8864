"""The query function: what a tenant's readers ask of its log.

Belongs here: reading as the tenant, sealing cursors, putting answers together. Does not belong here: how filters are
read (`audit_core.query_parameters`), and anything that writes.
"""
