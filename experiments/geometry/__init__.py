"""Pruning by the geometry of hidden states."""
