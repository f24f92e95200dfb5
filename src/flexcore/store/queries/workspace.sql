-- upsert_workspace -- write a row unless a newer one is there
INSERT INTO workspace (account, sid, version, create_time, body)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= workspace.version;

-- get_workspace -- one workspace
SELECT body FROM workspace WHERE account = ?1 AND sid = ?2;

-- list_workspace -- workspaces, in an order of theirs
SELECT body FROM workspace
WHERE account = :account
  AND (:by_create_time * create_time, sid) > (:after_key, :after_sid)
ORDER BY :by_create_time * create_time, sid LIMIT :limit;

-- delete_workspace -- remove one workspace for good
DELETE FROM workspace WHERE account = ?1 AND sid = ?2;
