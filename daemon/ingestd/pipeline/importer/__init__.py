"""Writes the library: `run` takes one job from its manifest to its end. `opening` reads the manifest and plans,
`chunk_source` prepares chunks ahead, `items_importer` and `chunk_writer` write them, `container_writer` and
`cover_writer` what belongs to assets; `fence` guards every transaction, and `completion` ends the job."""
