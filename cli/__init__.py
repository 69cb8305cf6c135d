"""The cash command."""
