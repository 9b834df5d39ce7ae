"""Solvers that make a linear layer's levels: fewer bits, or zeros. Tensors in, tensors out."""
