"""Reports on many runs: a page, and tables for papers. Nothing here needs TensorFlow."""
