"""The other ways, each a script for a virtual environment of its own."""
