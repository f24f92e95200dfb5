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

-- list_inbox_dead -- inbound webhooks that were refused, the newest first
SELECT endpoint_id, channel_message_sid, time, state, reason, form FROM inbox
WHERE account = ?1 AND state = 'dead' AND (time, channel_message_sid) < (?2, ?3)
ORDER BY time DESC, channel_message_sid DESC LIMIT ?4;

-- count_inbox_dead -- how many inbound webhooks were refused
SELECT count(*) FROM inbox WHERE account = ?1 AND state = 'dead';
