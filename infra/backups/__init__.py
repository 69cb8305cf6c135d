"""Backups: a system's databases and its journal in one archive, and a system made from one again."""
