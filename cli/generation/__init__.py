"""Documents, clients and servers generated from the contracts."""
