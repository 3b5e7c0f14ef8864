"""Provisioning: from AuditTenant resources to streams, schemas, roles, keys and configuration.

Belongs here: everything that holds an administrator's credential. Does not belong here: anything on the way of an
event; the functions run as processes of their own and are never imported.
"""
