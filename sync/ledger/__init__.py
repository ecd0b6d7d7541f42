"""The sync's own tables."""
