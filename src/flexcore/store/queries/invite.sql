-- upsert_invite -- write a row unless a newer one is there
INSERT INTO invite (account, sid, version, create_time, interaction_sid, status, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  status = excluded.status,
  body = excluded.body
WHERE excluded.version >= invite.version;

-- list_invite_by_interaction_sid -- invites by interaction, oldest first
SELECT body FROM invite
WHERE account = :account AND interaction_sid = :interaction_sid
  AND (:status IS NULL OR status = :status)
  AND (create_time, sid) > (:after_key, :after_sid)
ORDER BY create_time, sid LIMIT :limit;

-- root_of_invite -- the interaction it belongs to
SELECT interaction_sid FROM invite WHERE account = ?1 AND sid = ?2;
