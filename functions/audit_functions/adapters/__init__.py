"""What the functions need from NATS and PostgreSQL, behind calls that raise only `audit_core.errors`.

Belongs here: connections, statements by name, translation of vendors' errors. Does not belong here: decisions.
"""
