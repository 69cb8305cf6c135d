"""Adapters; they decide nothing about money."""
