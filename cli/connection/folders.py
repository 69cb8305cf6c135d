"""Where this machine keeps what is one person's: their sessions, their profiles."""

import os
from pathlib import Path

import platformdirs


def config_folder() -> Path:
    """Return ``CASH_CONFIG_HOME``, else the user's config folder for cash-flow."""
    chosen = os.environ.get("CASH_CONFIG_HOME")
    return Path(chosen or platformdirs.user_config_dir("cash-flow", appauthor=False)).expanduser().absolute()
