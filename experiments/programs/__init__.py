"""Start programs: source whose marked regions evolve."""
