-- upsert_interaction_participant -- write a row unless a newer one is there
INSERT INTO interaction_participant (account, sid, version, create_time,
  interaction_sid, channel_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= interaction_participant.version;

-- list_interaction_participant_by_channel_sid -- those by channel, oldest first
SELECT body FROM interaction_participant
WHERE account = :account AND channel_sid = :channel_sid
  AND (:interaction_sid IS NULL OR interaction_sid = :interaction_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_interaction_participant_by_interaction_sid -- those by interaction, oldest first
SELECT body FROM interaction_participant
WHERE account = :account AND interaction_sid = :interaction_sid
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- root_of_interaction_participant -- the interaction it belongs to
SELECT interaction_sid FROM interaction_participant WHERE account = ?1 AND sid = ?2;
