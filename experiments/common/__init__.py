"""What several experiments share: files that are whole, arguments, learning rates, batches."""
