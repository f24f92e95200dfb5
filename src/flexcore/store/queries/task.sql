-- upsert_task -- write a row unless a newer one is there
INSERT INTO task (account, sid, version, create_time, workspace_sid, workflow_sid,
  task_queue_sid, status, invite_sid, purge_time, priority, virtual_start_time, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  task_queue_sid = excluded.task_queue_sid,
  status = excluded.status,
  purge_time = excluded.purge_time,
  priority = excluded.priority,
  virtual_start_time = excluded.virtual_start_time,
  body = excluded.body
WHERE excluded.version >= task.version;

-- list_task_by_task_queue_sid -- tasks of a queue in a status, oldest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND task_queue_sid = :task_queue_sid AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_task_by_workflow_sid -- tasks of a workflow in a status, oldest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_task -- tasks in a status, oldest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_task_by_task_queue_sid_newest -- tasks of a queue in a status, newest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND task_queue_sid = :task_queue_sid AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
  AND (create_time, sid) < (-:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_task_by_workflow_sid_newest -- tasks of a workflow in a status, newest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) < (-:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_task_newest -- tasks in a status, newest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) < (-:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_task_by_task_queue_sid_sorted -- open tasks of a queue in a status, in an order of theirs
SELECT :by_priority * priority AS first,
  :by_create_time * create_time + :by_virtual_start_time * virtual_start_time AS second,
  sid, body
FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND task_queue_sid = :task_queue_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
    AND (
      :by_priority * priority,
      :by_create_time * create_time + :by_virtual_start_time * virtual_start_time,
      sid
    ) > (:after_key, :after_next, :after_sid)
  ORDER BY
    :by_priority * priority,
    :by_create_time * create_time + :by_virtual_start_time * virtual_start_time,
    sid
  LIMIT :limit
) ORDER BY first, second, sid;

-- list_task_by_workflow_sid_sorted -- open tasks of a workflow in a status, in an order of theirs
SELECT :by_priority * priority AS first,
  :by_create_time * create_time + :by_virtual_start_time * virtual_start_time AS second,
  sid, body
FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (
      :by_priority * priority,
      :by_create_time * create_time + :by_virtual_start_time * virtual_start_time,
      sid
    ) > (:after_key, :after_next, :after_sid)
  ORDER BY
    :by_priority * priority,
    :by_create_time * create_time + :by_virtual_start_time * virtual_start_time,
    sid
  LIMIT :limit
) ORDER BY first, second, sid;

-- list_task_sorted -- open tasks in a status, in an order of theirs
SELECT :by_priority * priority AS first,
  :by_create_time * create_time + :by_virtual_start_time * virtual_start_time AS second,
  sid, body
FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (
      :by_priority * priority,
      :by_create_time * create_time + :by_virtual_start_time * virtual_start_time,
      sid
    ) > (:after_key, :after_next, :after_sid)
  ORDER BY
    :by_priority * priority,
    :by_create_time * create_time + :by_virtual_start_time * virtual_start_time,
    sid
  LIMIT :limit
) ORDER BY first, second, sid;

-- aggregate_task -- a task and its reservations
SELECT body FROM (
  SELECT body, 0 AS part, create_time, sid
  FROM task WHERE account = ?1 AND sid = ?2
  UNION ALL
  SELECT body, 1, create_time, sid
  FROM reservation WHERE account = ?1 AND task_sid = ?2
) ORDER BY part, create_time, sid;

-- list_task_purge -- tasks to be deleted by when they are, those created first before others
SELECT purge_time, rowid, sid FROM task
WHERE account = ?1 AND purge_time > 0 AND (purge_time, rowid) >= (?2, ?3)
ORDER BY purge_time, rowid LIMIT ?4;

-- delete_task -- remove one task for good
DELETE FROM task WHERE account = ?1 AND sid = ?2;
