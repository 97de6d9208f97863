"""The broker's settings: what exists, what was set, what holds now."""
