-- insert_inbox -- write down an inbound webhook; refused if it was written before
INSERT INTO inbox (account, endpoint_id, channel_message_sid, time, state, reason, form)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- get_inbox -- an inbound webhook by its deduplication key
SELECT time, state, reason, form FROM inbox
WHERE account = ?1 AND endpoint_id = ?2 AND channel_message_sid = ?3;

-- delete_inbox_expired -- forget the oldest webhooks that are too old
DELETE FROM inbox WHERE rowid IN (
  SELECT rowid FROM inbox WHERE account = ?1 AND time < ?2 ORDER BY time LIMIT ?3
);
