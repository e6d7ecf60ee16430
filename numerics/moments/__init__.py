"""Moments of products of functions of jointly Gaussian fields of mean zero, by quadrature.

Modules: ``geometry`` (conditioning a covariance), ``conditional`` (one field given others), ``pairs`` and
``four_point`` (the tables), ``pointer`` (handing an activation to the compiled routines), ``accuracy`` (errors and the
choice of a level). Piecewise-linear activations have tables of their own: ``piecewise_rule`` (the activations as
numbers) and ``piecewise_tables``, on top of ``piecewise_linear`` (products) and ``orthants`` (probabilities). They know
no neural network. Numba is imported by the modules, not here, and nothing is compiled before the first call.
"""
