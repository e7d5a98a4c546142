"""The rows about infrastructure: discovery and mount, database, hosts."""

from panels import ALL, CHOSEN, Panel, Query, Text, course, local, quantiles, rate, states
from style import GREEN, GREY, RED, YELLOW, words


def discovery_and_mount() -> list[Panel]:
    return [
        *(_found(), _delay(), _scan_age(), _mount(), _scans(), _scan_durations()),
        *(_unrecorded(), _bytes_read(), _plans()),
    ]


def _found() -> Panel:
    text = Text("Bundles found", "By source: file events, compared listings, or full scans.")
    query = Query(f"60 * {rate('batches_discovered_total', 'source')}", "{{source}}")
    return course(text, "cpm", query, stacked=True)


def _delay() -> Panel:
    text = Text("Discovery delay", "From completed_at in the manifest to the record in the database.")
    return course(text, "s", *quantiles("discovery_delay_seconds"))


def _scan_age() -> Panel:
    text = Text("Age of the last scan", "Above the line, scanning counts as stalled.", ("IngestdScanStalled",))
    age = f"time() - max by (instance) (ingestd_scan_last_success_timestamp_seconds{CHOSEN})"
    limit = Query(f"5 * max (ingestd_scan_interval_seconds{ALL})", "stalled")
    return course(text, "s", Query(age, "{{instance}}"), limit, colours={"stalled": RED})


def _mount() -> Panel:
    text = Text("Mount", "Whether each host could read the mount at its last check.", ("IngestdMountUnavailable",))
    query = Query(local("mount_up", "instance", how="min"), "{{instance}}")
    return states(text, query, words(readable=(1, GREEN), unavailable=(0, RED)))


def _scans() -> Panel:
    text = Text("Scans", "Full listings; failed scans are retried automatically.", ("IngestdScanStalled",))
    return course(text, "cpm", Query(f"60 * {rate('scans_total', 'result')}", "{{result}}"), stacked=True)


def _scan_durations() -> Panel:
    return course(Text("Duration of scans", "Full listings."), "s", *quantiles("scan_duration_seconds"))


def _unrecorded() -> Panel:
    words = "Sentinels whose manifest is still missing or incomplete, or whose bundle is stuck."
    text = Text("Sentinels not recorded", words, ("IngestdBundlesStuck",))
    waiting = Query(local("sentinels_unrecorded", "instance"), "{{instance}}")
    stuck = Query(local("bundles_stuck", "instance"), "{{instance}}, stuck")
    return course(text, "none", waiting, stuck)


def _bytes_read() -> Panel:
    text = Text("Read from the mount", "Documents, and files if mount.verify is sha256.")
    return course(text, "Bps", Query(rate("documents_read_bytes_total", "instance"), "{{instance}}"), stacked=True)


def _plans() -> Panel:
    text = Text("Pre-flights", "Failed: at least one item of the bundle will fail.")
    return course(text, "cpm", Query(f"60 * {rate('preflights_total', 'result')}", "{{result}}"), stacked=True)


def database_and_retries() -> list[Panel]:
    return [_database(), _answers(), _errors(), _chunks(), _heartbeats(), _changed_hands()]


def _database() -> Panel:
    text = Text("Database", "Whether each host could reach the database when scraped.", ("IngestdDatabaseUnreachable",))
    query = Query(local("database_up", "instance", how="min"), "{{instance}}")
    return states(text, query, words(reachable=(1, GREEN), unreachable=(0, RED)))


def _answers() -> Panel:
    text = Text("Scrape duration", "Time for reading the state from the database.")
    return course(text, "s", Query(local("database_scrape_duration_seconds", "instance"), "{{instance}}"))


def _errors() -> Panel:
    text = Text("Database errors", "All are retried automatically.", ("IngestdDatabaseErrors",))
    return course(text, "cpm", Query(f"60 * {rate('database_errors_total', 'kind')}", "{{kind}}"), stacked=True)


def _chunks() -> Panel:
    return course(
        Text("Duration of a chunk", "One transaction that imports items."), "s", *quantiles("chunk_duration_seconds")
    )


def _heartbeats() -> Panel:
    text = Text("Heartbeats", "Error: the job no longer belongs to this worker.", ("IngestdHeartbeatLate",))
    return course(text, "cpm", Query(f"60 * {rate('heartbeats_total', 'result')}", "{{result}}"), stacked=True)


def _changed_hands() -> Panel:
    about = "Reset: taken from dead or silent workers. Lost: noticed by a slow worker that was still alive."
    reset = Query(f"60 * {rate('stale_resets_total')}", "reset")
    lost = Query(f"60 * {rate('leases_lost_total')}", "lost")
    text = Text("Resets and lost leases", about, ("IngestdStaleResets",))
    return course(text, "cpm", reset, lost, colours={"reset": RED, "lost": YELLOW})


def hosts() -> list[Panel]:
    return [
        *(_up(), _workers(), _uptime(), _processor(), _memory(), _open_files(), _lines_dropped()),
        *(_requests(), _answering()),
    ]


def _up() -> Panel:
    text = Text("Hosts", "Stopping: it puts its jobs back into the queue.", ("IngestdAllDown", "IngestdDown"))
    up = f"max by (instance) (up{CHOSEN})"
    state = f"{up} + (max by (instance) (ingestd_draining{CHOSEN}) or 0 * {up})"
    return states(text, Query(state, "{{instance}}"), words(down=(0, RED), up=(1, GREEN), stopping=(2, YELLOW)))


def _workers() -> Panel:
    text = Text("Workers", "Threads that import, and those that wait for a job.", ("IngestdQueueWaitHigh",))
    return course(text, "none", Query(local("workers", "state", how="sum"), "{{state}}"), stacked=True)


def _uptime() -> Panel:
    text = Text("Uptime", "Drops to zero at each restart.", ("IngestdCrashLooping",))
    uptime = f"time() - max by (instance) (process_start_time_seconds{CHOSEN})"
    return course(text, "s", Query(uptime, "{{instance}}"))


def _processor() -> Panel:
    used = f"sum by (instance) (rate(process_cpu_seconds_total{CHOSEN}[$__rate_interval]))"
    return course(Text("Processor", "Share of one processor."), "percentunit", Query(used, "{{instance}}"))


def _memory() -> Panel:
    memory = f"max by (instance) (process_resident_memory_bytes{CHOSEN})"
    return course(Text("Memory", "Resident."), "bytes", Query(memory, "{{instance}}"))


def _open_files() -> Panel:
    files = Query(f"max by (instance) (process_open_fds{CHOSEN})", "{{instance}}")
    limit = Query(f"min (process_max_fds{CHOSEN})", "limit")
    return course(
        Text("Open files", "Open files and the lowest limit."), "none", files, limit, width=4, colours={"limit": GREY}
    )


def _lines_dropped() -> Panel:
    text = Text("Log lines dropped", "Lines that the log reader took too slowly; logging never blocks work.")
    query = Query(f"60 * {rate('log_lines_dropped_total', 'instance')}", "{{instance}}")
    return course(text, "cpm", query, width=4)


def _requests() -> Panel:
    text = Text("HTTP requests", "API and page requests by status code.")
    return course(text, "reqps", Query(rate("http_requests_total", "code"), "{{code}}"), stacked=True, width=12)


def _answering() -> Panel:
    text = Text("Duration of HTTP requests", "From reading a request to its response.")
    return course(text, "s", *quantiles("http_request_duration_seconds"), width=12)
