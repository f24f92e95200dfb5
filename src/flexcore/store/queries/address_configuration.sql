-- upsert_address_configuration -- write a row unless a newer one is there
INSERT INTO address_configuration (account, sid, version, create_time, address, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= address_configuration.version;

-- get_address_configuration -- one address configuration
SELECT body FROM address_configuration WHERE account = ?1 AND sid = ?2;

-- list_address_configuration -- address configurations, oldest first
SELECT body FROM address_configuration
WHERE account = :account
  AND (:address IS NULL OR address = :address)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;
