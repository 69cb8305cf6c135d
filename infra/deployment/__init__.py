"""What every way of running the system has in common: its processes, its secrets, and who is told what."""
