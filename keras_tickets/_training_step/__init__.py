"""The training step and `fit`, on every strategy."""
