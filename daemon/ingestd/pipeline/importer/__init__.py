"""Writes the library: run.py leads one job from manifest to end, chunk.py writes one chunk set-wise, container.py one
gallery or collection, ahead.py prepares the next chunk meanwhile."""
