-- upsert_conversation -- write a row unless a newer one is there
INSERT INTO conversation (account, sid, version, create_time, state, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  state = excluded.state,
  body = excluded.body
WHERE excluded.version >= conversation.version;

-- list_conversation_by_state -- conversations by state, oldest first
SELECT body FROM conversation
WHERE account = :account AND state = :state
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_conversation -- conversations, oldest first
SELECT body FROM conversation
WHERE account = :account
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- aggregate_conversation -- a conversation and its participants
SELECT body FROM (
  SELECT body, 0 AS part, create_time, sid
  FROM conversation WHERE account = ?1 AND sid = ?2
  UNION ALL
  SELECT body, 1, create_time, sid
  FROM participant WHERE account = ?1 AND conversation_sid = ?2
) ORDER BY part, create_time, sid;
