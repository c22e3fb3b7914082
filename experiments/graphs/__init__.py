"""Graphs as recurrent kernels, and what pruning costs, on strings of grammars."""
