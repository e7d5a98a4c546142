"""Writes the library: run.py leads one job from manifest to end, chunk.py writes one chunk set-wise, container.py one
gallery or collection, chunks.py prepares what comes next, fencing.py guards every transaction, ending.py ends it."""
