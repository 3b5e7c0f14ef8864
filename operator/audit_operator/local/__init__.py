"""The log on one machine: embedded servers, the functions as child processes, tenants from a folder.

Belongs here: starting, watching and stopping processes, and the commands of `python -m audit_operator.local`. Does not
belong here: provisioning, which is the cluster's too and stands in `reconcile`.
"""
