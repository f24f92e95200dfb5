-- upsert_task -- write a row unless a newer one is there
INSERT INTO task (account, sid, version, create_time, workspace_sid, workflow_sid,
  task_queue_sid, status, invite_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  task_queue_sid = excluded.task_queue_sid,
  status = excluded.status,
  body = excluded.body
WHERE excluded.version >= task.version;

-- list_task_by_task_queue_sid -- tasks by task queue, oldest first
SELECT body FROM task
WHERE account = :account AND task_queue_sid = :task_queue_sid
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
  AND (:status IS NULL OR status = :status)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_task_by_workflow_sid -- tasks by workflow, oldest first
SELECT body FROM task
WHERE account = :account AND workflow_sid = :workflow_sid
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:status IS NULL OR status = :status)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_task_by_status -- tasks by status, oldest first
SELECT body FROM task
WHERE account = :account AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_task -- tasks, oldest first
SELECT body FROM task
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- aggregate_task -- a task and its reservations
SELECT body FROM (
  SELECT body, 0 AS part, create_time, sid
  FROM task WHERE account = ?1 AND sid = ?2
  UNION ALL
  SELECT body, 1, create_time, sid
  FROM reservation WHERE account = ?1 AND task_sid = ?2
) ORDER BY part, create_time, sid;
