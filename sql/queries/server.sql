-- The database server itself: its settings, its clock, and the rights of the daemon's account.

-- name: facts^
SELECT @@version, @@max_allowed_packet, @@binlog_format, @@log_bin, UTC_TIMESTAMP(6), @@local_infile;

-- name: now$
SELECT UTC_TIMESTAMP(6);

-- name: ping$
SELECT 1;

-- name: rights
-- The privileges of this account by table; NULL stands for all tables of the database or the server.
SELECT table_name, privilege_type FROM information_schema.TABLE_PRIVILEGES WHERE table_schema = DATABASE()
UNION ALL
SELECT NULL, privilege_type FROM information_schema.SCHEMA_PRIVILEGES WHERE table_schema = DATABASE()
UNION ALL
SELECT NULL, privilege_type FROM information_schema.USER_PRIVILEGES WHERE privilege_type <> 'USAGE';

-- name: running
-- Which of these connections of this account the server still knows.
SELECT id FROM information_schema.PROCESSLIST WHERE id IN :numbers;

-- name: kill!
KILL :number;
