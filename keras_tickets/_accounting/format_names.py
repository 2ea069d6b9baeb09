"""What the formats of sparse kernels are called, known without TensorFlow."""

FORMAT_NAMES = {
    "dense": "dense",
    "bit_mask": "bit mask",
    "csr": "CSR",
    "csc": "CSC",
    "n_of_m": "n of m",
    "deltas": "8-bit deltas",
}
