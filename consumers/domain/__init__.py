"""The rules: pure functions over frozen data."""
