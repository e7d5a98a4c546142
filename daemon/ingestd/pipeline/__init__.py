"""The stages, in the order in which a bundle meets them; they meet through rows and are woken by callables.

watcher     wakes the scanner: something happened in the hand-over folder
scanner     records what is there as batches, and notices what was delivered again
preflight   decides ahead of the import what it would do: the plan
queueing    makes, promotes and cancels jobs; pauses the queue; sweeps for what no crash may forget
claimer     takes a queued job for one worker thread, and keeps its heart beating
importer/   writes the library, chunk by fenced chunk
rescuer     puts the jobs of dead and silent workers back into the queue
"""
