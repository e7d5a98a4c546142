"""The read side: lists and counts for commands, pages, the HTTP interface and metrics. Nothing here writes."""
