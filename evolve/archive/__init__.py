"""Archives: which records live."""
