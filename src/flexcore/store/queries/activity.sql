-- upsert_activity -- write a row unless a newer one is there
INSERT INTO activity (account, sid, version, create_time, workspace_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= activity.version;

-- get_activity -- one activity
SELECT body FROM activity WHERE account = ?1 AND sid = ?2;

-- list_activity -- activities, in an order of theirs
SELECT body FROM activity
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:by_create_time * create_time, sid) > (:after_key, :after_sid)
ORDER BY :by_create_time * create_time, sid LIMIT :limit;

-- delete_activity -- remove one activity for good
DELETE FROM activity WHERE account = ?1 AND sid = ?2;
