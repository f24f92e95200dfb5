-- insert_request -- write down that a request succeeded; refused if it did before
INSERT INTO request
  (account, actor, method, request_id, fingerprint, sequence, time, answer)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- get_request -- a request that succeeded
SELECT fingerprint, sequence, time, answer FROM request
WHERE account = ?1 AND actor = ?2 AND method = ?3 AND request_id = ?4;

-- delete_request_expired -- forget the oldest requests that are too old
DELETE FROM request WHERE rowid IN (
  SELECT rowid FROM request WHERE account = ?1 AND time < ?2 ORDER BY time LIMIT ?3
);
