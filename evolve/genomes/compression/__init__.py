"""Compression profiles: what is kept of each block, and at which level each linear layer is."""
