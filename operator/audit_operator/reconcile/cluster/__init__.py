"""A tenant in a Kubernetes cluster: its children, its Secrets, its status and its end.

Belongs here: what a cluster adds to provisioning. What a tenant is in NATS and PostgreSQL is reconciled one level up, by
the code that the local runtime uses too.
"""
