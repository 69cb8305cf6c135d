"""Celery's clocks and errands."""
