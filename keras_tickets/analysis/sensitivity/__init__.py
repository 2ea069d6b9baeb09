"""What pruning one kernel alone costs, and the sparsities that follow from it."""
