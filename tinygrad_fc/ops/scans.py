"""Scans: running sums, products and extremes, and differences."""
