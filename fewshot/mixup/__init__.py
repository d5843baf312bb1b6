"""Metrix: examples mixed together with their labels, for any loss of the generic form (arXiv 2106.04990)."""
