-- The library that sites read. Rows are never deleted, only marked by deleted_at or is_current.
-- synced_at and sync_id are the version of the row's last writer: that bundle's completed_at and its sync_id.

CREATE TABLE IF NOT EXISTS asset (
  id                BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  asset_type        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL
                    COMMENT 'NULL: named by others, but neither delivered nor removed yet; deleted_at is set',
  hash              CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  title             VARCHAR(1000) NULL,
  path              VARCHAR(1024) NULL,
  entry_sha256      CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL COMMENT 'the manifest entry it was last written from',
  documents_sha256  CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL COMMENT 'the set of documents it was last written from',
  synced_at         DATETIME(6) NULL,
  sync_id           CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  created_at        DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  updated_at        DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  deleted_at        DATETIME(6) NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS asset_file (
  asset_id    BIGINT UNSIGNED NOT NULL,
  variant     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  path        VARCHAR(1024) NOT NULL COMMENT 'below the mount root',
  bytes       BIGINT UNSIGNED NULL,
  sha256      CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  synced_at   DATETIME(6) NULL,
  sync_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  deleted_at  DATETIME(6) NULL,
  PRIMARY KEY (asset_id, variant),
  CONSTRAINT file_of_asset FOREIGN KEY (asset_id) REFERENCES asset (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS asset_source (
  asset_id         BIGINT UNSIGNED NOT NULL,
  document_sha256  CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL COMMENT 'of the bytes on the mount',
  document         JSON NOT NULL,
  is_current       TINYINT UNSIGNED NOT NULL DEFAULT 1,
  synced_at        DATETIME(6) NULL,
  sync_id          CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  created_at       DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  PRIMARY KEY (asset_id, document_sha256),
  CONSTRAINT source_of_asset FOREIGN KEY (asset_id) REFERENCES asset (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS asset_ai_run (
  asset_id         BIGINT UNSIGNED NOT NULL,
  analysis_kind    VARCHAR(800) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  document_sha256  CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL COMMENT 'of the bytes on the mount',
  document         JSON NOT NULL,
  is_current       TINYINT UNSIGNED NOT NULL DEFAULT 1,
  synced_at        DATETIME(6) NULL,
  sync_id          CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  created_at       DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
  PRIMARY KEY (asset_id, analysis_kind, document_sha256),
  CONSTRAINT ai_run_of_asset FOREIGN KEY (asset_id) REFERENCES asset (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS asset_cover (
  asset_id    BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  cover_hash  CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  path        VARCHAR(1024) NULL,
  bytes       BIGINT UNSIGNED NULL,
  sha256      CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  synced_at   DATETIME(6) NULL,
  sync_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  linked_at   DATETIME(6) NULL COMMENT 'version of the bundle that linked it; NULL: synced_at and sync_id',
  linked_by   CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  is_delivered TINYINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'a bundle said which file it has',
  delivered_at DATETIME(6) NULL COMMENT 'version of that bundle; NULL: the one that linked it',
  delivered_by CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  deleted_at  DATETIME(6) NULL,
  CONSTRAINT cover_of_asset FOREIGN KEY (asset_id) REFERENCES asset (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Covers that were replaced, or unlinked before they were linked. An older bundle may still arrive; readers need none of it.
CREATE TABLE IF NOT EXISTS asset_other_cover (
  asset_id      BIGINT UNSIGNED NOT NULL,
  cover_hash    CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  path          VARCHAR(1024) NULL,
  bytes         BIGINT UNSIGNED NULL,
  sha256        CHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  unlinked_at   DATETIME(6) NULL COMMENT 'version of the bundle that unlinked it last',
  unlinked_by   CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  delivered_at  DATETIME(6) NULL COMMENT 'version of the bundle that delivered its file last',
  delivered_by  CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  PRIMARY KEY (asset_id, cover_hash),
  CONSTRAINT other_cover_of_asset FOREIGN KEY (asset_id) REFERENCES asset (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS asset_gallery (
  id                BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  hash              CHAR(32) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL,
  title             VARCHAR(1000) NULL,
  synced_at         DATETIME(6) NULL,
  sync_id           CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  titled_at         DATETIME(6) NULL COMMENT 'version of the newest list with a title',
  titled_by         CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  complete_at       DATETIME(6) NULL COMMENT 'version of the newest list that called itself complete',
  complete_sync_id  CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  deleted_at        DATETIME(6) NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS asset_gallery_item (
  gallery_id  BIGINT UNSIGNED NOT NULL,
  asset_id    BIGINT UNSIGNED NOT NULL,
  position    INT UNSIGNED NOT NULL,
  synced_at   DATETIME(6) NULL,
  sync_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NULL,
  deleted_at  DATETIME(6) NULL,
  PRIMARY KEY (gallery_id, asset_id),
  CONSTRAINT item_of_gallery FOREIGN KEY (gallery_id) REFERENCES asset_gallery (id),
  CONSTRAINT asset_in_gallery FOREIGN KEY (asset_id) REFERENCES asset (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- The two kinds of container differ in nothing but their names.
CREATE TABLE IF NOT EXISTS asset_collection LIKE asset_gallery;

CREATE TABLE IF NOT EXISTS asset_collection_item LIKE asset_gallery_item;
-- LIKE copies columns and keys, but no foreign keys.
ALTER TABLE asset_collection_item RENAME COLUMN IF EXISTS gallery_id TO collection_id;
ALTER TABLE asset_collection_item
  ADD CONSTRAINT item_of_collection FOREIGN KEY IF NOT EXISTS (collection_id) REFERENCES asset_collection (id),
  ADD CONSTRAINT asset_in_collection FOREIGN KEY IF NOT EXISTS (asset_id) REFERENCES asset (id);
