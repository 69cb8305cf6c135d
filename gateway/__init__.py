"""The gateway: HTTP in, event out; sessions and guards; the read side. It writes to no database."""
