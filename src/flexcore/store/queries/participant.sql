-- upsert_participant -- write a row unless a newer one is there
INSERT INTO participant (account, sid, version, create_time, conversation_sid, identity,
  address, remove_time, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  identity = excluded.identity,
  address = excluded.address,
  remove_time = excluded.remove_time,
  body = excluded.body
WHERE excluded.version >= participant.version;

-- list_participant_by_conversation_sid -- participants by conversation, oldest first
SELECT body FROM participant
WHERE account = :account AND conversation_sid = :conversation_sid
  AND (:identity IS NULL OR identity = :identity)
  AND (:address IS NULL OR address = :address)
  AND remove_time = 0
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_participant_by_identity -- participants by identity, oldest first
SELECT body FROM participant
WHERE account = :account AND identity = :identity
  AND identity <> ''
  AND (:address IS NULL OR address = :address)
  AND remove_time = 0
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_participant_by_address -- participants by address, oldest first
SELECT body FROM participant
WHERE account = :account AND address = :address
  AND address <> ''
  AND remove_time = 0
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- root_of_participant -- the conversation a participant takes part in
SELECT conversation_sid FROM participant WHERE account = ?1 AND sid = ?2;
