"""What masks are as graphs: degrees, overlap, their course, weights on no path."""
