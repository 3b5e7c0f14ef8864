"""Adapters to what is provisioned: PostgreSQL, NATS. They translate; what is wanted is decided above them."""
