"""ingestd: cloud-sync hand-over bundles become rows of a media library, exactly once, with a ledger of decisions."""

__version__ = "0.1.0"
