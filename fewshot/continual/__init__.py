"""Continual learning: classes that come task after task, PRD (arXiv 2303.14771) and its baselines."""
