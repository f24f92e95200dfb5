-- upsert_message -- write a row unless a newer one is there
INSERT INTO message (account, sid, version, create_time, conversation_sid, "index",
  body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= message.version;

-- get_message -- one message
SELECT body FROM message WHERE account = ?1 AND sid = ?2;

-- list_message_by_conversation_sid -- messages by conversation, by index
SELECT body FROM message
WHERE account = :account AND conversation_sid = :conversation_sid
  AND ("index", sid) > (:after_key, :after_sid)
ORDER BY "index", sid LIMIT :limit;
