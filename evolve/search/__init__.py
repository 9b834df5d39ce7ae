"""Searches: what proposes births and learns from records."""
