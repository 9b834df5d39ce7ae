"""The kinds of things that evolve."""
