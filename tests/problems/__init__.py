"""Gaussian integrals whose values are known by a route that shares no code with what is tested."""
