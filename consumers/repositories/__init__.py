"""What is locked, loaded and written around a decision."""
