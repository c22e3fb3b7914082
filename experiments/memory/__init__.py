"""Brackets and copies: what a network cannot do that does not remember."""
