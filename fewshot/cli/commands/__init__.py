"""The verbs of `python -m fewshot`, one file each.

A file `NAME.py` here is the verb NAME. Its docstring is its help (the first line in the list of
verbs too) and `run(words) -> exit status` does it, importing what is heavy only then.
"""
