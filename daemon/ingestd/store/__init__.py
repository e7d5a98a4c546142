"""The rows: one module per SQL file, one typed function per query. Only db.py knows the driver."""
