-- Around a LOAD DATA: what it wrote is undone where it is not perfect.

-- name: begin!
SAVEPOINT bulk;

-- name: undo!
ROLLBACK TO SAVEPOINT bulk;
