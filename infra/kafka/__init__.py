"""Kafka: connection, producer, subscriptions, topics."""
