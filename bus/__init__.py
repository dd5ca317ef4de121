"""The language every process speaks on the broker: topics, messages, about, connection, outbox, health."""
