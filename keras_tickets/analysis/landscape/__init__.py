"""The loss between solutions: along lines and trained Bézier curves, and its barriers."""
