-- upsert_worker -- write a row unless a newer one is there
INSERT INTO worker (account, sid, version, create_time, workspace_sid, activity_sid,
  activity_time, folded_name, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  activity_sid = excluded.activity_sid,
  activity_time = excluded.activity_time,
  folded_name = excluded.folded_name,
  body = excluded.body
WHERE excluded.version >= worker.version;

-- get_worker -- one worker
SELECT body FROM worker WHERE account = ?1 AND sid = ?2;

-- list_worker_by_folded_name -- workers of a name, oldest first
SELECT body FROM worker
WHERE account = :account AND folded_name = :folded_name
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:activity_sid IS NULL OR activity_sid = :activity_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_worker -- workers, oldest first
SELECT body FROM worker
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:activity_sid IS NULL OR activity_sid = :activity_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_worker_newest -- workers, newest first
SELECT body FROM worker
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:activity_sid IS NULL OR activity_sid = :activity_sid)
  AND (:folded_name IS NULL OR folded_name = :folded_name)
  AND (create_time, sid) < (-:after_key, :after_sid)
ORDER BY create_time DESC, sid DESC LIMIT :limit;

-- list_worker_longest -- workers, the longest in their activity first
SELECT body FROM worker
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:activity_sid IS NULL OR activity_sid = :activity_sid)
  AND (:folded_name IS NULL OR folded_name = :folded_name)
  AND (activity_time, sid) > (:after_key, :after_sid)
ORDER BY activity_time, sid LIMIT :limit;

-- list_worker_latest -- workers, the last who changed activity first
SELECT body FROM worker
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:activity_sid IS NULL OR activity_sid = :activity_sid)
  AND (:folded_name IS NULL OR folded_name = :folded_name)
  AND (activity_time, sid) < (-:after_key, :after_sid)
ORDER BY activity_time DESC, sid DESC LIMIT :limit;

-- delete_worker -- remove one worker for good
DELETE FROM worker WHERE account = ?1 AND sid = ?2;
