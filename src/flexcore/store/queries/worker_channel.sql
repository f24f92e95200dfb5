-- upsert_worker_channel -- write a row unless a newer one is there
INSERT INTO worker_channel (account, sid, version, create_time, worker_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= worker_channel.version;

-- get_worker_channel -- one worker channel
SELECT body FROM worker_channel WHERE account = ?1 AND sid = ?2;

-- list_worker_channel_by_worker_sid -- worker channels by worker, oldest first
SELECT body FROM worker_channel
WHERE account = :account AND worker_sid = :worker_sid
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- delete_worker_channel -- remove one worker channel for good
DELETE FROM worker_channel WHERE account = ?1 AND sid = ?2;
