"""Files that are complete or not there, and their content."""
