"""For processes whose time is measured: coverage makes them several times slower, and writes a file at their end."""

NOT_MEASURED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
"""environment of a process that runs without coverage"""
