"""The same steps on a finite training set and on fresh samples."""
