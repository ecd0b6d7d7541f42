"""A stand-in for Aito."""
