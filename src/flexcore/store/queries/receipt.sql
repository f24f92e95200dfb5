-- upsert_receipt -- write a row unless a newer one is there
INSERT INTO receipt (account, sid, version, create_time, conversation_sid, message_sid,
  body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= receipt.version;

-- get_receipt -- one receipt
SELECT body FROM receipt WHERE account = ?1 AND sid = ?2;

-- list_receipt_by_message_sid -- receipts by message, oldest first
SELECT body FROM receipt
WHERE account = :account AND message_sid = :message_sid
  AND (:conversation_sid IS NULL OR conversation_sid = :conversation_sid)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- list_receipt_by_conversation_sid -- receipts by conversation, oldest first
SELECT body FROM receipt
WHERE account = :account AND conversation_sid = :conversation_sid
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;
