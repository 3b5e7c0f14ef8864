"""Ingest: an event is acknowledged once the stream has fsynced the frame that carries it, and never before.

Talks to NATS alone, so that it goes on while PostgreSQL is down.
"""
