"""Faults for the rules and the SQL of the order of arrival, one at a time; the tests must notice each of them."""

from pathlib import Path
from typing import NamedTuple


class Mutation(NamedTuple):
    """A fault: text of a file, which occurs once in it, and what replaces it."""

    file: str
    before: str
    after: str

    def apply(self, root: Path) -> None:
        """Makes the fault in a copy of the project. Raises ValueError when the text does not occur once."""
        path = root / self.file
        text = path.read_text()
        if text.count(self.before) != 1:
            raise ValueError(f"{self.file} has {text.count(self.before)} times: {self.before}")
        path.write_text(text.replace(self.before, self.after))


DECIDE = "daemon/ingestd/decide.py"
COVERS = "daemon/ingestd/covers.py"
STAGING = "daemon/ingestd/pipeline/staging.py"
PLACING = "daemon/ingestd/pipeline/placing.py"
OPENING = "daemon/ingestd/pipeline/importer/opening.py"
NEXT_COVERS = "daemon/ingestd/pipeline/importer/next_covers.py"
IMPORTER = "daemon/ingestd/pipeline/importer/bundle_importer.py"
DELIVERY = "daemon/ingestd/pipeline/delivery.py"
CANCELLING = "daemon/ingestd/pipeline/cancelling.py"
CONTAINER = "daemon/ingestd/pipeline/importer/container_writer.py"
MEMBER = "daemon/ingestd/pipeline/importer/member_writer.py"
COVER = "daemon/ingestd/pipeline/importer/cover_writer.py"
CHUNK = "daemon/ingestd/pipeline/importer/chunk_writer.py"
PREPARED = "daemon/ingestd/pipeline/importer/prepared_chunk.py"
STORE = "daemon/ingestd/store/asset_covers.py"
FOLLOWING = "daemon/ingestd/pipeline/importer/following.py"
GROUP = "daemon/ingestd/pipeline/importer/group_import.py"
CLAIMS = "daemon/ingestd/pipeline/claims.py"
NEW_BATCHES = "daemon/ingestd/pipeline/new_batches.py"
VERSIONS = "daemon/ingestd/store/versions.py"
AGE = "return (version.completed_at, version.generation, version.sync_id)"
MAY_WRITE = "return not (is_older(incoming, complete) or (member is not None and is_older(incoming, member.version)))"
STILL_UNLINKED = "unlinked = cover.unlinked if cover.unlinked and is_older(version, cover.unlinked) else None"
NOT_UNLINKED = "if is_older(version, cover.linked) or is_older(version, cover.unlinked):"
IS_HEARD = "return is_kept and item.reading.problem is None"
DELIVERED = "delivered = (version(delivered_at, delivered_by) or linked) if is_delivered else None"

MUTATIONS = {
    "priors do not count": Mutation(DECIDE, AGE, "return (version.completed_at, 0, version.sync_id)"),
    "sync_ids do not count": Mutation(DECIDE, AGE, "return (version.completed_at, version.generation, '')"),
    "a cover of an older entry counts as superseded": Mutation(
        DECIDE, "return LINKED if cover_differs and", "return LINKED if not cover_differs and"
    ),
    "a removal of an older bundle wins": Mutation(
        DECIDE,
        "if is_older(incoming, stored.version):\n        return LINKED",
        "if is_older(incoming, stored.version) and action is not Action.REMOVE:\n        return LINKED",
    ),
    "a complete list forbids nothing to known members": Mutation(
        DECIDE, MAY_WRITE, "return not (is_older(incoming, complete) if member is None else False)"
    ),
    "members compare with their own version only": Mutation(
        DECIDE, MAY_WRITE, "return not (member is not None and is_older(incoming, member.version))"
    ),
    "members compare with the complete list only": Mutation(
        DECIDE, MAY_WRITE, "return not is_older(incoming, complete)"
    ),
    "files of covers have no version": Mutation(
        COVERS, "if file is None or is_older(version, cover.delivered):", "if file is None:"
    ),
    "files of covers that are not linked are lost": Mutation(
        COVERS, "        return _with(covers, cover)\n    unlinked", "        return covers\n    unlinked"
    ),
    "any link counts": Mutation(COVERS, "    if last is not None and is_older(version, last.linked):", "    if False:"),
    "a link ends newer removals": Mutation(COVERS, STILL_UNLINKED, "unlinked = None"),
    "a link ends no removal": Mutation(COVERS, STILL_UNLINKED, "unlinked = cover.unlinked"),
    "the cover before is not kept": Mutation(
        COVERS, "Covers(linked, {**covers.others, last.hash: replace(last, linked=None)})", "Covers(linked, {})"
    ),
    "a removal ends newer links": Mutation(COVERS, NOT_UNLINKED, "if is_older(version, cover.unlinked):"),
    "an older removal replaces a newer one": Mutation(COVERS, NOT_UNLINKED, "if is_older(version, cover.linked):"),
    "what is said of other covers is lost": Mutation(
        COVERS, "    return Covers(covers.last, {**covers.others, cover.hash: cover})", "    return covers"
    ),
    "no title removes the title": Mutation(CONTAINER, "container.title is not None and not", "not"),
    "titles have no version of their own": Mutation(
        CONTAINER, "decide.is_older(version, before.titled)", "decide.is_older(version, before.version)"
    ),
    "any complete list is the newest": Mutation(
        CONTAINER,
        "    if container.complete and not decide.is_older(version, before.complete):",
        "    if container.complete:",
    ),
    "a list does not return a removed container": Mutation(
        CONTAINER,
        "after = replace(after, version=version, deleted=False)",
        "after = replace(after, version=version)",
    ),
    "any removal of a container counts": Mutation(CONTAINER, "before if is_older else replace(", "replace("),
    "repeated memberships keep the older version": Mutation(
        MEMBER, "elif decide.advances(version, member.version):", "elif False:"
    ),
    "complete lists remove newer members": Mutation(
        MEMBER,
        "return not member.deleted and not decide.is_older(version, member.version)",
        "return not member.deleted",
    ),
    "lists that are not complete remove members": Mutation(
        MEMBER, "[one for one in existing if one.container.complete]", "existing"
    ),
    "deferred cover items say nothing": Mutation(
        COVER, IS_HEARD, f"{IS_HEARD} and verdict.decision is not Decision.DEFERRED"
    ),
    "skipped cover items say nothing": Mutation(
        COVER, IS_HEARD, f"{IS_HEARD} and verdict.decision is not Decision.SKIPPED"
    ),
    "only the last cover item of a chunk says something": Mutation(
        COVER, "before, latest = changed.get(id_, (first, first))", "before, latest = first, first"
    ),
    "outranked cover items say something": Mutation(COVER, "and verdict.reason is not Reason.OUTRANKED", ""),
    "older entries say nothing of covers": Mutation(
        CHUNK,
        "is_heard = verdict.decision is not Decision.FAILED and",
        "is_heard = verdict.decision in (Decision.CREATED, Decision.UPDATED) and",
    ),
    "assets that were only named get no type": Mutation(
        PREPARED, "return (stored.id, entry.asset_type, int(", "return (stored.id, None, int("
    ),
    "links count from the last change of a cover": Mutation(
        STORE, "linked = version(linked_at, linked_by) or written", "linked = written"
    ),
    "files count from the link of a cover": Mutation(STORE, DELIVERED, "delivered = linked if is_delivered else None"),
    "covers always have a file": Mutation(
        STORE, DELIVERED, "delivered = version(delivered_at, delivered_by) or linked"
    ),
    "links of unlinked covers are not stored": Mutation(
        STORE, "linked = None if cover.linked == written else cover.linked", "linked = None"
    ),
    "priors of rows do not count": Mutation(
        VERSIONS, "following = generations(tx, sorted(ties))", "following: dict[str | None, int] = {}"
    ),
    "late priors change nothing": Mutation(
        PLACING,
        "moved = [follower for follower in behind if",
        "moved = [follower for follower in behind if False and",
    ),
    "removals of the linked cover are not stored": Mutation(
        "sql/cover.sql",
        "unlinked_at = VALUES(unlinked_at), unlinked_by = VALUES(unlinked_by), delivered_at",
        "delivered_at",
    ),
    "titles keep their first writer": Mutation(
        "sql/container.sql", "c.titled_by = j.titled_by,", "c.titled_by = c.titled_by,"
    ),
    "unchanged assets keep their version": Mutation(
        DECIDE, "return not same_writer and not is_older(incoming, row)", "return False"
    ),
    "cover items stay outranked": Mutation(STAGING, "not self._is_new or was_outranked == is_outranked", "True"),
    "runs take up no order that has become another one": Mutation(OPENING, "return stands.has_moved", "return False"),
    "unchanged items of a later delivery keep their decisions": Mutation(
        DELIVERY,
        "elif versions.has_moved(tx, known.id, versions.version(tx, known.id)):",
        "elif False:",
    ),
    "content that was recorded counts as imported": Mutation(
        "sql/version.sql", "WHERE t.batch_id = b.id AND t.items > 0 AND", "WHERE FALSE AND t.items > 0 AND"
    ),
    "the winning cover needs no file where a newer bundle has said it": Mutation(
        PREPARED, "(writes or outranks_others(chunk_item.entry, bundle))", "writes"
    ),
    "a lower generation makes no other newer": Mutation(
        PLACING, "for found in outdated}", "for found in outdated if False}"
    ),
    "a bundle that names another prior revises nothing": Mutation(
        "sql/version.sql", "p.sync_id = :prior_sync_id AND", "p.sync_id = 'x' AND"
    ),
    "a prior that moves away revises nothing": Mutation(
        "sql/version.sql", "OR (NOT b.version_at", "OR (FALSE AND NOT b.version_at"
    ),
    "the order of a time is revised once": Mutation("sql/version.sql", "revision = revision + 1, ", ""),
    "runs with a former order are not waited for": Mutation(
        PLACING, "            if versions.has_former_runs(tx, version_at):\n", "            if False:\n"
    ),
    "what was imported beside such runs is not imported again": Mutation(
        "sql/version.sql", "SET awaits_runs = 0, revision = revision + 1", "SET awaits_runs = 0"
    ),
    "elected entries are taken up by each run": Mutation(
        VERSIONS, "return pair(version) == pair(bundle)", "return version == bundle"
    ),
    "a cancelled job takes the order with it": Mutation(CANCELLING, "        versions.look_again(tx, known.id)\n", ""),
    "covers that count in place of failed ones are elected once": Mutation(
        NEXT_COVERS, "for asset in lost}", "for asset in lost if False}"
    ),
    "revivals elect no cover before": Mutation(
        IMPORTER, "tries_failed = Decision.FAILED.value in TAKEN_BY[self.lease.scope]", "tries_failed = True"
    ),
    "those that follow overtake what is queued": Mutation(
        FOLLOWING,
        "return [one for one in waiting if not queued or",
        "return [one for one in waiting if queued is not None or",
    ),
    "those that follow ignore a pause": Mutation(FOLLOWING, "    if control.is_paused(tx):\n        return []\n", ""),
    "those that follow may have changed": Mutation(FOLLOWING, "return is_same and", "return lease is not None and"),
    "what cannot follow is passed over": Mutation(
        FOLLOWING,
        "levels = _levels(batch_ids, waiting if len(waiting) < MAX_WAITING else ())",
        "levels = _levels(batch_ids, [one for one in waiting if one.job.id in free])",
    ),
    "links of one time have one generation": Mutation(
        GROUP,
        "(one.lease.batch_id, one.version.generation, one.stands.revision)",
        "(one.lease.batch_id, 0, one.stands.revision)",
    ),
    "links are claimed together with what they wait for": Mutation(
        CLAIMS, "return not found.has_active_prior and", "return"
    ),
    "new batches wait for no other": Mutation(
        NEW_BATCHES, "must_wait = prior is not None and decide.is_older(prior, known[sync_id])", "must_wait = False"
    ),
    "new batches hold no other back": Mutation(NEW_BATCHES, "if new.is_followed]", "if False]"),
}
