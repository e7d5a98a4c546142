"""The rows about what the work rests on: discovery and mount, the database, the hosts."""

from panels import ALL, CHOSEN, Panel, Query, Text, course, local, quantiles, rate, states
from style import GREEN, GREY, RED, YELLOW, words


def discovery_and_mount() -> list[Panel]:
    return [
        *(_found(), _delay(), _scan_age(), _mount(), _scans(), _scan_durations()),
        *(_unrecorded(), _bytes_read(), _plans()),
    ]


def _found() -> Panel:
    text = Text("Bundles found", "By what found them: events, listings compared, or the full scan.")
    query = Query(f"60 * {rate('batches_discovered_total', 'source')}", "{{source}}")
    return course(text, "cpm", query, stacked=True)


def _delay() -> Panel:
    text = Text("Delay of discovery", "From the completion that a manifest tells to its record in the database.")
    return course(text, "s", *quantiles("discovery_delay_seconds"))


def _scan_age() -> Panel:
    text = Text("Age of the last scan", "Above the line it counts as stalled.", ("IngestdScanStalled",))
    age = f"time() - max by (instance) (ingestd_scan_last_success_timestamp_seconds{CHOSEN})"
    limit = Query(f"5 * max (ingestd_scan_interval_seconds{ALL})", "stalled")
    return course(text, "s", Query(age, "{{instance}}"), limit, colours={"stalled": RED})


def _mount() -> Panel:
    text = Text("Mount", "Whether the last look found it, on each host.", ("IngestdMountUnavailable",))
    query = Query(local("mount_up", "instance", how="min"), "{{instance}}")
    return states(text, query, words(readable=(1, GREEN), unavailable=(0, RED)))


def _scans() -> Panel:
    text = Text("Scans", "Full listings; after an error it is tried again by itself.", ("IngestdScanStalled",))
    return course(text, "cpm", Query(f"60 * {rate('scans_total', 'result')}", "{{result}}"), stacked=True)


def _scan_durations() -> Panel:
    return course(Text("Duration of scans", "Full listings."), "s", *quantiles("scan_duration_seconds"))


def _unrecorded() -> Panel:
    text = Text("Sentinels not recorded", "Handed over, but their manifest is missing or half-written yet.")
    return course(text, "none", Query(local("sentinels_unrecorded", "instance"), "{{instance}}"))


def _bytes_read() -> Panel:
    text = Text("Read from the mount", "Documents, and files where they are verified by their content.")
    return course(text, "Bps", Query(rate("documents_read_bytes_total", "instance"), "{{instance}}"), stacked=True)


def _plans() -> Panel:
    text = Text("Plans made", "Failed: some item of the bundle will fail.")
    return course(text, "cpm", Query(f"60 * {rate('preflights_total', 'result')}", "{{result}}"), stacked=True)


def database_and_retries() -> list[Panel]:
    return [_database(), _answers(), _errors(), _chunks(), _heartbeats(), _changed_hands()]


def _database() -> Panel:
    text = Text("Database", "Whether each host reached it at the scrape.", ("IngestdDatabaseUnreachable",))
    query = Query(local("database_up", "instance", how="min"), "{{instance}}")
    return states(text, query, words(reachable=(1, GREEN), unreachable=(0, RED)))


def _answers() -> Panel:
    text = Text("Answer to a scrape", "How long the database took to tell its state.")
    return course(text, "s", Query(local("database_scrape_duration_seconds", "instance"), "{{instance}}"))


def _errors() -> Panel:
    text = Text(
        "Errors of the database", "Whatever can pass is tried again by itself.", ("IngestdDatabaseUnreachable",)
    )
    return course(text, "cpm", Query(f"60 * {rate('database_errors_total', 'kind')}", "{{kind}}"), stacked=True)


def _chunks() -> Panel:
    return course(Text("Duration of a chunk", "A transaction with items."), "s", *quantiles("chunk_duration_seconds"))


def _heartbeats() -> Panel:
    text = Text("Heartbeats", "Error: the job is not this worker's any more.", ("IngestdHeartbeatLate",))
    return course(text, "cpm", Query(f"60 * {rate('heartbeats_total', 'result')}", "{{result}}"), stacked=True)


def _changed_hands() -> Panel:
    about = "Put back: taken from dead or silent workers. Lost: noticed by such a worker that was alive."
    put_back = Query(f"60 * {rate('stale_resets_total')}", "put back")
    lost = Query(f"60 * {rate('leases_lost_total')}", "lost")
    text = Text("Jobs that changed hands", about, ("IngestdStaleResets",))
    return course(text, "cpm", put_back, lost, colours={"put back": RED, "lost": YELLOW})


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
    text = Text("Uptime", "Falls to nothing at each restart.", ("IngestdCrashLooping",))
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
    return course(Text("Open files", "And the least limit."), "none", files, limit, width=4, colours={"limit": GREY})


def _lines_dropped() -> Panel:
    text = Text("Log lines dropped", "Nobody took them in time; work is never held up by its log.")
    query = Query(f"60 * {rate('log_lines_dropped_total', 'instance')}", "{{instance}}")
    return course(text, "cpm", query, width=4)


def _requests() -> Panel:
    text = Text(
        "HTTP requests", "Of programs and of those who look at pages, by the status that they were answered with."
    )
    return course(text, "reqps", Query(rate("http_requests_total", "code"), "{{code}}"), stacked=True, width=12)


def _answering() -> Panel:
    text = Text("Duration of HTTP requests", "From the first look at a request to its answer.")
    return course(text, "s", *quantiles("http_request_duration_seconds"), width=12)
