"""What makes children and chooses survivors."""
