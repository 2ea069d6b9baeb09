"""Files that are complete or not there, and what stands in them."""
