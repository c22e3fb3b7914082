"""A streaming recogniser of spoken words, dense and pruned, on every runtime: see README.md."""
