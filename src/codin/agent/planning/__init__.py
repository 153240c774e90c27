"""Plans, and those who make them."""
