-- bind_pair -- bind a pair of addresses; changes nothing if it belongs to another
INSERT INTO pair (account, address, proxy_address, conversation_sid)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (account, address, proxy_address) DO UPDATE
  SET conversation_sid = excluded.conversation_sid
WHERE pair.conversation_sid = excluded.conversation_sid;

-- release_pair -- make a pair of addresses free again
DELETE FROM pair WHERE account = ?1 AND address = ?2 AND proxy_address = ?3;

-- get_pair -- the conversation a pair of addresses is bound to
SELECT conversation_sid FROM pair
WHERE account = ?1 AND address = ?2 AND proxy_address = ?3;

-- list_pair -- all pairs that are bound
SELECT address, proxy_address, conversation_sid FROM pair
WHERE account = ?1 ORDER BY address, proxy_address;
