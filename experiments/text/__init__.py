"""Character language models: what sparsity costs them, and what brings it down."""
