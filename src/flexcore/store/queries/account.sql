-- upsert_account -- write a row unless a newer one is there
INSERT INTO account (account, sid, version, create_time, body)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= account.version;

-- get_account -- one account
SELECT body FROM account WHERE account = ?1 AND sid = ?2;

-- list_account -- accounts, oldest first
SELECT body FROM account
WHERE account = :account
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;
