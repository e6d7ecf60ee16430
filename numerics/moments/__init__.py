"""Moments of products of functions of jointly Gaussian fields of mean zero, by quadrature.

Modules: ``geometry`` (conditioning a covariance), ``conditional`` (one field given others), ``pairs`` and
``four_point`` (the tables), ``pointer`` (handing an activation to the compiled routines), ``accuracy`` (errors and the
choice of a level). They know no neural network. Numba is imported by the modules, not here, and nothing is compiled
before the first call.
"""
