"""The tour of `fsm tour`: sample messages, clients, a sink, and an audit of what became of every message."""
