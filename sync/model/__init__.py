"""Pure values and the ports."""
