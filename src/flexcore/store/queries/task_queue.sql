-- upsert_task_queue -- write a row unless a newer one is there
INSERT INTO task_queue (account, sid, version, create_time, workspace_sid, update_time,
  body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  update_time = excluded.update_time,
  body = excluded.body
WHERE excluded.version >= task_queue.version;

-- get_task_queue -- one task queue
SELECT body FROM task_queue WHERE account = ?1 AND sid = ?2;

-- list_task_queue -- task queues, in an order of theirs
SELECT body FROM task_queue
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:by_create_time * create_time + :by_update_time * update_time, sid)
    > (:after_key, :after_sid)
ORDER BY :by_create_time * create_time + :by_update_time * update_time, sid LIMIT :limit;

-- delete_task_queue -- remove one task queue for good
DELETE FROM task_queue WHERE account = ?1 AND sid = ?2;
