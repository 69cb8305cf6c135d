"""Logs, traces, health and metrics."""
