"""A run made visible: the picture of its trade-off."""
