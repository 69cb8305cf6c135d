"""The interactive walk through the system (``cash test``): a menu for each part of it."""
