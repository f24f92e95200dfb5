-- upsert_reservation -- write a row unless a newer one is there
INSERT INTO reservation (account, sid, version, create_time, workspace_sid, task_sid,
  worker_sid, status, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  status = excluded.status,
  body = excluded.body
WHERE excluded.version >= reservation.version;

-- list_reservation_by_task_sid -- reservations of a task in a status, oldest first
SELECT create_time, sid, body FROM reservation
-- A task has few of them, and the plus keeps SQLite from walking through all of a status.
WHERE account = :account AND task_sid = :task_sid AND +status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:worker_sid IS NULL OR worker_sid = :worker_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_reservation_by_worker_sid -- reservations of a worker in a status, oldest first
SELECT create_time, sid, body FROM reservation
WHERE account = :account AND worker_sid = :worker_sid AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_reservation -- reservations in a status, oldest first
SELECT create_time, sid, body FROM reservation
WHERE account = :account AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_reservation_by_task_sid_newest -- reservations of a task in a status, newest first
SELECT create_time, sid, body FROM reservation
-- A task has few of them, and the plus keeps SQLite from walking through all of a status.
WHERE account = :account AND task_sid = :task_sid AND +status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:worker_sid IS NULL OR worker_sid = :worker_sid)
  AND (create_time, sid) < (-:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_reservation_by_worker_sid_newest -- reservations of a worker in a status, newest first
SELECT create_time, sid, body FROM reservation
WHERE account = :account AND worker_sid = :worker_sid AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) < (-:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_reservation_newest -- reservations in a status, newest first
SELECT create_time, sid, body FROM reservation
WHERE account = :account AND status = :status
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) < (-:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- root_of_reservation -- the task a reservation offers
SELECT task_sid FROM reservation WHERE account = ?1 AND sid = ?2;

-- delete_reservation -- remove one reservation for good
DELETE FROM reservation WHERE account = ?1 AND sid = ?2;
