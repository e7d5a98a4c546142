"""The format of bundles: manifests, entries and containers, from bytes to checked records. Pure."""
