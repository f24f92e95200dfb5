-- upsert_task_channel -- write a row unless a newer one is there
INSERT INTO task_channel (account, sid, version, create_time, workspace_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= task_channel.version;

-- get_task_channel -- one task channel
SELECT body FROM task_channel WHERE account = ?1 AND sid = ?2;

-- list_task_channel -- task channels, in an order of theirs
SELECT body FROM task_channel
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:by_create_time * create_time, sid) > (:after_key, :after_sid)
ORDER BY :by_create_time * create_time, sid LIMIT :limit;

-- delete_task_channel -- remove one task channel for good
DELETE FROM task_channel WHERE account = ?1 AND sid = ?2;
