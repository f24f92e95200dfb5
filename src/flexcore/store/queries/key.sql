-- upsert_key -- write a row unless a newer one is there
INSERT INTO key (account, sid, version, create_time, account_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= key.version;

-- get_key -- one key
SELECT body FROM key WHERE account = ?1 AND sid = ?2;

-- list_key -- API keys, oldest first
SELECT body FROM key
WHERE account = :account
  AND (:account_sid IS NULL OR account_sid = :account_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;
