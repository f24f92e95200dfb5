-- upsert_workflow -- write a row unless a newer one is there
INSERT INTO workflow (account, sid, version, create_time, workspace_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= workflow.version;

-- get_workflow -- one workflow
SELECT body FROM workflow WHERE account = ?1 AND sid = ?2;

-- list_workflow -- workflows, in an order of theirs
SELECT body FROM workflow
WHERE account = :account
  AND (:workspace_sid IS NULL OR workspace_sid = :workspace_sid)
  AND (:by_create_time * create_time, sid) > (:after_key, :after_sid)
ORDER BY :by_create_time * create_time, sid LIMIT :limit;

-- delete_workflow -- remove one workflow for good
DELETE FROM workflow WHERE account = ?1 AND sid = ?2;
