"""What a network costs: operations, memory in training, bytes in files."""
