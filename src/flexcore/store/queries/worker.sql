-- upsert_worker -- write a row unless a newer one is there
INSERT INTO worker (account, sid, version, create_time, workspace_sid, activity_sid,
  body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  activity_sid = excluded.activity_sid,
  body = excluded.body
WHERE excluded.version >= worker.version;

-- get_worker -- one worker
SELECT body FROM worker WHERE account = ?1 AND sid = ?2;

-- list_worker -- workers, oldest first
SELECT body FROM worker
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:activity_sid IS NULL OR activity_sid = :activity_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;
