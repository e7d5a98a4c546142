"""What comes in: manifests (pure), the mount (the only room that touches it) and documents read ahead of the import."""
