"""Few-shot and deep metric learning: episodes, losses, mixing, evaluation, continual learning."""

__version__ = "0.1.0"
