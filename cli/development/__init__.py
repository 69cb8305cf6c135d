"""Commands that only a system of development has a use for: the demo, and its mailbox."""
