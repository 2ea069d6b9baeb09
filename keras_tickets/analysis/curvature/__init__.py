"""The Hessian of the loss: products with it, its top eigenvalues, spectrum and trace."""
