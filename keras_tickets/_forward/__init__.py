"""Forward passes of a model with other values for its weights, and losses of its outputs."""
