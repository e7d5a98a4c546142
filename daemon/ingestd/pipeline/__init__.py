"""The stages, in the order in which a bundle passes them. They exchange rows, and wake each other by callables.

watcher     wakes the scanner: something happened in the hand-over folder
scanner     records bundles as batches, and finds re-deliveries: names (what to read), reads (the threads that read),
            recording (what is done with a reading), settling (manifests that are not readable yet), stuck (bundles that
            cannot be read or recorded), rotation (known manifests to read again), delivery (one reading and what it
            changes)
preflight   decides ahead of the import what it would do: the plan
queueing    makes and cancels jobs, and pauses the queue; ordering decides which jobs wait, removals which are held;
            sweeps queue what should be queued and is not
worker_pool takes a queued job for one worker thread, and sends its heartbeats
importer/   writes the library, chunk by fenced chunk
rescuer     puts the jobs of dead and silent workers back into the queue
"""
