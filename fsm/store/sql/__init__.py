"""The durable storage."""
