-- upsert_sender -- write a row unless a newer one is there
INSERT INTO sender (account, sid, version, create_time, address, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= sender.version;

-- get_sender -- one sender
SELECT body FROM sender WHERE account = ?1 AND sid = ?2;

-- list_sender -- senders, oldest first
SELECT body FROM sender
WHERE account = :account
  AND (:address IS NULL OR address = :address)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;
