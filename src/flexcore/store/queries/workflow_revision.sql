-- upsert_workflow_revision -- write a row unless a newer one is there
INSERT INTO workflow_revision (account, sid, version, create_time, workflow_sid, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account, sid) DO UPDATE SET
  version = excluded.version,
  body = excluded.body
WHERE excluded.version >= workflow_revision.version;

-- get_workflow_revision -- one revision
SELECT body FROM workflow_revision WHERE account = ?1 AND sid = ?2;

-- list_workflow_revision_by_workflow_sid -- revisions of a workflow, in an order of theirs
SELECT body FROM workflow_revision
WHERE account = :account AND workflow_sid = :workflow_sid
  AND (:by_create_time * create_time, sid) > (:after_key, :after_sid)
ORDER BY :by_create_time * create_time, sid LIMIT :limit;

-- list_workflow_revision -- revisions, in an order of theirs
SELECT body FROM workflow_revision
WHERE account = :account
  AND (:by_create_time * create_time, sid) > (:after_key, :after_sid)
ORDER BY :by_create_time * create_time, sid LIMIT :limit;

-- delete_workflow_revision -- remove one revision for good
DELETE FROM workflow_revision WHERE account = ?1 AND sid = ?2;
