-- upsert_outbox -- write a side effect on its way out
INSERT INTO outbox (account, sid, state, pair, sequence, create_time, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  state = excluded.state,
  body = excluded.body;

-- delete_outbox -- forget a side effect that is done; its receipt keeps the fact
DELETE FROM outbox WHERE account = ?1 AND sid = ?2;

-- get_outbox -- one side effect
SELECT body FROM outbox WHERE account = ?1 AND sid = ?2;

-- list_outbox_living -- side effects still to be done, in the order they leave
SELECT body FROM outbox WHERE account = ?1 AND state <> 'dead' ORDER BY pair, sequence;

-- list_outbox_dead -- side effects that were given up, the newest first
SELECT body FROM outbox
WHERE account = ?1 AND state = 'dead' AND (create_time, sid) < (?2, ?3)
ORDER BY create_time DESC, sid DESC LIMIT ?4;

-- count_outbox_dead -- how many side effects were given up
SELECT count(*) FROM outbox WHERE account = ?1 AND state = 'dead';
