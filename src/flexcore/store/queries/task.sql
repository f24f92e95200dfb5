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
  AND (create_time, sid) < (:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_task_by_workflow_sid_newest -- tasks of a workflow in a status, newest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) < (:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_task_newest -- tasks in a status, newest first
SELECT create_time, sid, body FROM task
WHERE account = :account AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) < (:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_task_by_task_queue_sid_most_urgent -- open tasks of a queue in a status, the greatest priority first
SELECT -priority, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND task_queue_sid = :task_queue_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
    AND (-priority, sid) > (:after_key, :after_sid)
  ORDER BY -priority, sid LIMIT :limit
) ORDER BY -priority, sid;

-- list_task_by_task_queue_sid_least_urgent -- open tasks of a queue in a status, the least priority first
SELECT -priority, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND task_queue_sid = :task_queue_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
    AND (-priority, sid) < (:after_key, :after_sid)
  ORDER BY -priority DESC, sid DESC LIMIT :limit
) ORDER BY -priority DESC, sid DESC;

-- list_task_by_task_queue_sid_first_started -- open tasks of a queue in a status, the earliest virtual start first
SELECT virtual_start_time, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND task_queue_sid = :task_queue_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
    AND (virtual_start_time, sid) > (:after_key, :after_sid)
  ORDER BY virtual_start_time, sid LIMIT :limit
) ORDER BY virtual_start_time, sid;

-- list_task_by_task_queue_sid_last_started -- open tasks of a queue in a status, the latest virtual start first
SELECT virtual_start_time, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND task_queue_sid = :task_queue_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (:workflow_sid IS NULL OR workflow_sid = :workflow_sid)
    AND (virtual_start_time, sid) < (:after_key, :after_sid)
  ORDER BY virtual_start_time DESC, sid DESC LIMIT :limit
) ORDER BY virtual_start_time DESC, sid DESC;

-- list_task_by_workflow_sid_most_urgent -- open tasks of a workflow in a status, the greatest priority first
SELECT -priority, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (-priority, sid) > (:after_key, :after_sid)
  ORDER BY -priority, sid LIMIT :limit
) ORDER BY -priority, sid;

-- list_task_by_workflow_sid_least_urgent -- open tasks of a workflow in a status, the least priority first
SELECT -priority, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (-priority, sid) < (:after_key, :after_sid)
  ORDER BY -priority DESC, sid DESC LIMIT :limit
) ORDER BY -priority DESC, sid DESC;

-- list_task_by_workflow_sid_first_started -- open tasks of a workflow in a status, the earliest virtual start first
SELECT virtual_start_time, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (virtual_start_time, sid) > (:after_key, :after_sid)
  ORDER BY virtual_start_time, sid LIMIT :limit
) ORDER BY virtual_start_time, sid;

-- list_task_by_workflow_sid_last_started -- open tasks of a workflow in a status, the latest virtual start first
SELECT virtual_start_time, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND workflow_sid = :workflow_sid AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (virtual_start_time, sid) < (:after_key, :after_sid)
  ORDER BY virtual_start_time DESC, sid DESC LIMIT :limit
) ORDER BY virtual_start_time DESC, sid DESC;

-- list_task_most_urgent -- open tasks in a status, the greatest priority first
SELECT -priority, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (-priority, sid) > (:after_key, :after_sid)
  ORDER BY -priority, sid LIMIT :limit
) ORDER BY -priority, sid;

-- list_task_least_urgent -- open tasks in a status, the least priority first
SELECT -priority, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (-priority, sid) < (:after_key, :after_sid)
  ORDER BY -priority DESC, sid DESC LIMIT :limit
) ORDER BY -priority DESC, sid DESC;

-- list_task_first_started -- open tasks in a status, the earliest virtual start first
SELECT virtual_start_time, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (virtual_start_time, sid) > (:after_key, :after_sid)
  ORDER BY virtual_start_time, sid LIMIT :limit
) ORDER BY virtual_start_time, sid;

-- list_task_last_started -- open tasks in a status, the latest virtual start first
SELECT virtual_start_time, sid, body FROM task WHERE account = :account AND sid IN (
  SELECT sid FROM task
  WHERE account = :account AND status = :status
    AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
    AND (virtual_start_time, sid) < (:after_key, :after_sid)
  ORDER BY virtual_start_time DESC, sid DESC LIMIT :limit
) ORDER BY virtual_start_time DESC, sid DESC;

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
