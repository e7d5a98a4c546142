-- The daemon's account: it reads what it needs, adds to the ledger, and can neither change nor delete what is written
-- there. No rights on the database as a whole. It cannot choose a ledger row's id or time: it has no right to the columns,
-- and a trigger refuses rows of a session that sets `insert_id`, and takes the time from the clock of the server, whatever
-- `timestamp` and `time_zone` are. (A server with the option sysdate-is-now loses the latter.)
-- Run in the database, as its owner, after `ingestd migrate`. The account must exist: CREATE USER 'ingestd'@'localhost'
-- IDENTIFIED VIA unix_socket; for a daemon of that name on the same machine. For one that connects over TCP: its host,
-- and IDENTIFIED BY a password.
GRANT SELECT, INSERT, UPDATE ON ingest_batch TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON ingest_batch_item TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON ingest_batch_tally TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON ingest_batch_removal TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON ingest_batch_container TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_batch_missing TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_due TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON import_job TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON ingest_order TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON ingest_mount TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON ingest_sighting TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_file TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_source TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_ai_run TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_cover TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_other_cover TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_gallery TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_gallery_item TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_collection TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE ON asset_collection_item TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_request TO 'ingestd'@'localhost';
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_stuck TO 'ingestd'@'localhost';
GRANT SELECT, INSERT (batch_id, event_type, payload) ON ingest_event TO 'ingestd'@'localhost';
GRANT SELECT, INSERT ON ingest_event_actor TO 'ingestd'@'localhost';
GRANT SELECT, UPDATE ON ingest_control TO 'ingestd'@'localhost';
GRANT SELECT ON _yoyo_migration TO 'ingestd'@'localhost'
