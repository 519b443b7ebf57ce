"""Decompositions and what is built on them: solving, determinants, norms."""
