"""What people see and type: tables, JSON, CSV, prompts, the pager, files that are written whole."""
