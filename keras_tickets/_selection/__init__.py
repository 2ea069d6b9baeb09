"""Which weights are the best: exactly, in graph, in blocks, and how many a sparsity leaves."""
