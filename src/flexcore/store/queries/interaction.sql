-- upsert_interaction -- write a row unless a newer one is there
INSERT INTO interaction (account, sid, version, create_time, workspace_sid,
  conversation_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= interaction.version;

-- list_interaction_by_conversation_sid -- interactions by conversation, oldest first
SELECT body FROM interaction
WHERE account = :account AND conversation_sid = :conversation_sid
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_interaction -- interactions, oldest first
SELECT body FROM interaction
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- aggregate_interaction -- an interaction, its channel, participants and invites
SELECT body FROM (
  SELECT body, 0 AS part, create_time, sid
  FROM interaction WHERE account = ?1 AND sid = ?2
  UNION ALL
  SELECT body, 1, create_time, sid
  FROM interaction_channel WHERE account = ?1 AND interaction_sid = ?2
  UNION ALL
  SELECT body, 2, create_time, sid
  FROM interaction_participant WHERE account = ?1 AND interaction_sid = ?2
  UNION ALL
  SELECT body, 3, create_time, sid
  FROM invite WHERE account = ?1 AND interaction_sid = ?2
) ORDER BY part, create_time, sid;
