"""Changes to the rules and the SQL that the tests of the order of arrival must notice: file, before, after."""

MUTATIONS = [
    (
        "daemon/ingestd/decide.py",
        "return (version.completed_at, version.generation, version.sync_id)",
        "return (version.completed_at, 0, version.sync_id)",
    ),
    (
        "daemon/ingestd/decide.py",
        "return (version.completed_at, version.generation, version.sync_id)",
        "return (version.completed_at, version.generation, '')",
    ),
    (
        "daemon/ingestd/decide.py",
        "        return LINKED if cover_differs and not stored.deleted and action is not Action.REMOVE else SUPERSEDED",
        "        return SUPERSEDED if True else LINKED",
    ),
    (
        "daemon/ingestd/decide.py",
        "return not (is_older(incoming, complete) or (member is not None and is_older(incoming, member.version)))",
        "return not (is_older(incoming, complete) if member is None else is_older(incoming, member.version))",
    ),
    (
        "daemon/ingestd/decide.py",
        "return not (is_older(incoming, complete) or (member is not None and is_older(incoming, member.version)))",
        "return not (member is not None and is_older(incoming, member.version))",
    ),
    ("daemon/ingestd/covers.py", "    if file is None or is_older(version, cover.delivered):", "    if file is None:"),
    (
        "daemon/ingestd/covers.py",
        "    if last is not None and is_older(version, last.linked):\n        return _with(covers, cover)",
        "    if last is not None and is_older(version, last.linked):\n        return covers",
    ),
    (
        "daemon/ingestd/covers.py",
        "    if last is not None and is_older(version, last.linked):\n        return _with(covers, cover)\n",
        "",
    ),
    (
        "daemon/ingestd/covers.py",
        "unlinked = cover.unlinked if cover.unlinked and is_older(version, cover.unlinked) else None",
        "unlinked = None",
    ),
    (
        "daemon/ingestd/covers.py",
        "unlinked = cover.unlinked if cover.unlinked and is_older(version, cover.unlinked) else None",
        "unlinked = cover.unlinked",
    ),
    (
        "daemon/ingestd/covers.py",
        "    return Covers(linked, {**covers.others, last.hash: replace(last, linked=None)})",
        "    return Covers(linked, covers.others)",
    ),
    (
        "daemon/ingestd/covers.py",
        "    if is_older(version, cover.linked) or is_older(version, cover.unlinked):",
        "    if is_older(version, cover.unlinked):",
    ),
    (
        "daemon/ingestd/covers.py",
        "    if is_older(version, cover.linked) or is_older(version, cover.unlinked):",
        "    if is_older(version, cover.linked):",
    ),
    (
        "daemon/ingestd/covers.py",
        "    return Covers(covers.last, {**covers.others, cover.hash: cover})",
        "    return covers",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "    if container.title is not None and not decide.is_older(version, before.titled):",
        "    if not decide.is_older(version, before.titled):",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "    if container.title is not None and not decide.is_older(version, before.titled):",
        "    if container.title is not None and not decide.is_older(version, before.version):",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "    if container.complete and not decide.is_older(version, before.complete):",
        "    if container.complete:",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "    if not decide.is_older(version, before.version):\n        after = replace(after, version=version, deleted=False)",
        "    if before.version is None or not decide.is_older(version, before.version) and not before.deleted:\n        after = replace(after, version=version, deleted=False)",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "before if is_older else replace(before, version=version, deleted=True)",
        "replace(before, version=version, deleted=True)",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "        elif decide.advances(version, member.version):",
        "        elif False:",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "    return container.complete and not member.deleted and not decide.is_older(version, member.version)",
        "    return container.complete and not member.deleted",
    ),
    (
        "daemon/ingestd/pipeline/importer/container_writer.py",
        "    if absent:\n        library.insert_named(tx, absent)\n        named |= library.named(tx, sorted(absent))",
        "    container = replace_members(container, [m for m in container.members if m in named])",
    ),
    (
        "daemon/ingestd/pipeline/importer/cover_writer.py",
        "    heard = [item for item, verdict in chunk.decided() if _is_heard(item, verdict)]",
        "    heard = [item for item, verdict in chunk.decided() if _is_heard(item, verdict) and verdict.decision is not Decision.DEFERRED]",
    ),
    (
        "daemon/ingestd/pipeline/importer/cover_writer.py",
        "    heard = [item for item, verdict in chunk.decided() if _is_heard(item, verdict)]",
        "    heard = [item for item, verdict in chunk.decided() if _is_heard(item, verdict) and verdict.decision is not Decision.SKIPPED]",
    ),
    (
        "daemon/ingestd/pipeline/importer/cover_writer.py",
        "        before, latest = changed.get(id_, (first, first))",
        "        before, latest = first, first",
    ),
    (
        "daemon/ingestd/pipeline/importer/chunk_writer.py",
        "    is_heard = verdict.decision is not Decision.FAILED and chunk_item.reading.problem is None",
        "    is_heard = verdict.decision in (Decision.CREATED, Decision.UPDATED)",
    ),
    (
        "daemon/ingestd/pipeline/importer/prepared_chunk.py",
        "    return (stored.id, entry.asset_type, int(stored.asset_type is None), *_content(entry, documents))",
        "    return (stored.id, None, int(stored.asset_type is None), *_content(entry, documents))",
    ),
    (
        "daemon/ingestd/store/library.py",
        "    linked = version(linked_at, linked_by) or written",
        "    linked = written",
    ),
    (
        "daemon/ingestd/store/library.py",
        "    delivered = (version(delivered_at, delivered_by) or linked) if is_delivered else None",
        "    delivered = linked if is_delivered else None",
    ),
    (
        "daemon/ingestd/store/library.py",
        "    delivered = (version(delivered_at, delivered_by) or linked) if is_delivered else None",
        "    delivered = (version(delivered_at, delivered_by) or linked)",
    ),
    (
        "daemon/ingestd/store/library.py",
        "    linked = None if cover.linked == written else cover.linked",
        "    linked = None",
    ),
    ("daemon/ingestd/store/library.py", "    following = batch.generations(tx, sorted(ties))", "    following = {}"),
    (
        "daemon/ingestd/pipeline/placing.py",
        "        return []\n    return [follower for",
        "        return []\n    return [] and [follower for",
    ),
    (
        "sql/batch.sql",
        "p.manifest_completed_at = a.manifest_completed_at AND p.sync_id <> a.sync_id",
        "p.sync_id <> a.sync_id",
    ),
    (
        "sql/library.sql",
        "unlinked_at = VALUES(unlinked_at), unlinked_by = VALUES(unlinked_by), delivered_at",
        "delivered_at",
    ),
    (
        "sql/library.sql",
        "ON DUPLICATE KEY UPDATE path = VALUES(path), bytes = VALUES(bytes), sha256 = VALUES(sha256),\n       unlinked_at",
        "ON DUPLICATE KEY UPDATE\n       unlinked_at",
    ),
    ("sql/container.sql", "titled_by = :titled_by, complete_at", "titled_by = titled_by, complete_at"),
    ("sql/library.sql", "a.synced_at = :synced_at, a.sync_id = :sync_id,\n    a.updated_at", "a.updated_at"),
]
