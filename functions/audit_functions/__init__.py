"""The functions of an installation: ingest, writer and query, stateless, from one image.

Belongs here: edges over HTTP, use cases, and adapters to NATS and PostgreSQL. Does not belong here: what an event is
(that is `audit_core`), and anything that creates streams, schemas, roles or keys (that is `audit_operator`).
"""
