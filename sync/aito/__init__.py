"""Aito over HTTP."""
