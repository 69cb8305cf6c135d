"""The load simulators: people and events that are made up, sent, followed and accounted for."""
