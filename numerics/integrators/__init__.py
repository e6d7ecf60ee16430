"""The compiled integrators behind `hermiton.numerics.ode`; they know nothing of neural networks.

tableaux     coefficients of the methods
control      norms, first step, next step: plain functions, compiled with each method
explicit_rk  one trajectory, explicit methods: the stage loops are written out from the tableau
implicit     one trajectory, the diagonally implicit method for stiff systems
lanes        many trajectories in lockstep, the last axis of every array being the trajectory
assemble     plain functions and constants to the text of one module to compile
signatures   the Numba types of it all (imports Numba, so imported late)
compiled     text to compiled function, once a process and once a machine
"""
