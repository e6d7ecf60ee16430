"""The calculus of Gaussian expectations: Hermite, Wick, Stein, Price, Mehler, tilting, closed forms."""
