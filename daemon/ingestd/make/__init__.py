"""Makes bundles from folders of media files, for trials."""
