"""Errors, events, clock: what everything else stands on."""
