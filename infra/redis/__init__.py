"""Redis: rate limits and wake-ups."""
