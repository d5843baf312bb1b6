"""Methods of continual learning, one a file.

A recipe builds one as `instantiate(config.continual, embedder=embedder, offered={"classes": ..., "loss": ...,
"augment": ...})`: each takes what it names of the number of classes of the stream, the loss on batches, and
the augmentation (for images out of a memory, which come as they were stored).
"""
