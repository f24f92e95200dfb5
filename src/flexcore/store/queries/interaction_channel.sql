-- upsert_interaction_channel -- write a row unless a newer one is there
INSERT INTO interaction_channel (account, sid, version, create_time, interaction_sid,
  status, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  status = excluded.status,
  body = excluded.body
WHERE excluded.version >= interaction_channel.version;

-- list_interaction_channel_by_interaction_sid -- channels by interaction, oldest first
SELECT body FROM interaction_channel
WHERE account = :account AND interaction_sid = :interaction_sid
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- root_of_interaction_channel -- the interaction it belongs to
SELECT interaction_sid FROM interaction_channel WHERE account = ?1 AND sid = ?2;
