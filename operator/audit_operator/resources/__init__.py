"""From a specification to the Kubernetes objects that it stands for: pure functions, one noun a file.

Belongs here: manifests, and how a live object is compared with one. Does not belong here: asking or telling a server.
"""
