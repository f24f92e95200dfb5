-- Revisions of workflows, finished tasks that are deleted after a while, and lists in
-- other orders than that of creation.
--
-- `row_field(body, name)` reads a field of a row; columns of rows that are there already
-- get what they would have got.

CREATE TABLE workflow_revision (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workflow_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX workflow_revision_workflow
ON workflow_revision (account, workflow_sid, create_time);

ALTER TABLE task ADD COLUMN purge_time INTEGER NOT NULL DEFAULT 0;

CREATE INDEX task_purge_time ON task (account, purge_time) WHERE purge_time > 0;

-- A list is one search for each status, so that it never walks through finished work that
-- nobody asked for. Open tasks are sorted in the order they are served without looking at
-- their rows: an index for that order alone would cost more with every change of a task
-- than a list is worth.

ALTER TABLE task ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

ALTER TABLE task ADD COLUMN virtual_start_time INTEGER NOT NULL DEFAULT 0;

UPDATE task SET
  priority = row_field(body, 'priority'),
  virtual_start_time = row_field(body, 'virtual_start_time');

DROP INDEX task_status;

CREATE INDEX task_status
ON task (account, status, create_time, priority, virtual_start_time, sid);

DROP INDEX task_task_queue;

CREATE INDEX task_task_queue ON task
(account, task_queue_sid, status, create_time, priority, virtual_start_time, sid);

DROP INDEX task_workflow;

CREATE INDEX task_workflow ON task (account, workflow_sid, status, create_time);

DROP INDEX task_create_time;

DROP INDEX reservation_worker;

CREATE INDEX reservation_worker
ON reservation (account, worker_sid, status, create_time);

DROP INDEX reservation_create_time;

-- Workers by age, by name, and by when their activity began: lists with an expression
-- read them a slice at a time.

ALTER TABLE worker ADD COLUMN activity_time INTEGER NOT NULL DEFAULT 0;

ALTER TABLE worker ADD COLUMN folded_name TEXT NOT NULL DEFAULT '';

UPDATE worker SET
  activity_time = row_field(body, 'activity_time'),
  folded_name = row_field(body, 'folded_name');

CREATE INDEX worker_activity_time ON worker (account, activity_time, sid);

CREATE INDEX worker_folded_name ON worker (account, folded_name, create_time);

-- A workspace of many workers is listed page by page, each worker with its channels.
CREATE INDEX worker_create_time ON worker (account, create_time, sid);

DROP INDEX worker_channel_worker;

CREATE INDEX worker_channel_worker
  ON worker_channel (account, worker_sid, create_time, sid);

ALTER TABLE task_queue ADD COLUMN update_time INTEGER NOT NULL DEFAULT 0;

UPDATE task_queue SET update_time = row_field(body, 'update_time');
