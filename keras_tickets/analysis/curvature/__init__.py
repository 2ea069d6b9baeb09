"""The Hessian of the loss: products with it, its top eigenvalues, spectrum and trace."""

from keras_tickets.analysis.curvature.curvature import Curvature, curvature
from keras_tickets.analysis.curvature.hessian import Hessian
from keras_tickets.analysis.curvature.hutchinson import Estimate, hutchinson
from keras_tickets.analysis.curvature.lanczos import Lanczos, lanczos

__all__ = ["Curvature", "Estimate", "Hessian", "Lanczos", "curvature", "hutchinson", "lanczos"]
