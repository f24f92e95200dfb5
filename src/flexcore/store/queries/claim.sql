-- upsert_claim -- write a row unless a newer one is there
INSERT INTO claim (account, sid, version, create_time, account_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  account_sid = excluded.account_sid,
  body = excluded.body
WHERE excluded.version >= claim.version;

-- get_claim -- one claim
SELECT body FROM claim WHERE account = ?1 AND sid = ?2;

-- list_claim -- claims, oldest first
SELECT body FROM claim
WHERE account = :account
  AND (:account_sid IS NULL OR account_sid = :account_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;
