"""Plain simulations on arrays, written from the definition of each network. They import neither theory nor kernels."""
