"""The local stack: servers and processes of one machine, run by our own supervisor."""
