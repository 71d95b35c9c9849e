"""The cookbook's tool: look recipes up, compare them, hold them to account."""
