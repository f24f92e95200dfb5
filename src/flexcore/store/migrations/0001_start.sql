-- The first schema. Times are microseconds since the epoch. Every resource has a table of
-- its own: the columns a query needs, and the whole row in `body`. Tables of small rows
-- are clustered by key; those of large rows are not, or each row would spill.

CREATE TABLE account_state (
  account TEXT NOT NULL PRIMARY KEY,
  epoch INTEGER NOT NULL,
  head_sequence INTEGER NOT NULL,
  floor_sequence INTEGER NOT NULL,
  watermark INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
  account TEXT NOT NULL,
  first_sequence INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  time INTEGER NOT NULL,
  command_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  cause TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, last_sequence)
) STRICT;

CREATE TABLE log_subject (
  account TEXT NOT NULL,
  subject TEXT NOT NULL,
  last_sequence INTEGER NOT NULL,
  PRIMARY KEY (account, subject, last_sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE pair (
  account TEXT NOT NULL,
  address TEXT NOT NULL,
  proxy_address TEXT NOT NULL,
  conversation_sid TEXT NOT NULL,
  PRIMARY KEY (account, address, proxy_address)
) STRICT, WITHOUT ROWID;

CREATE TABLE request (
  account TEXT NOT NULL,
  actor TEXT NOT NULL,
  method TEXT NOT NULL,
  request_id TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  time INTEGER NOT NULL,
  answer BLOB NOT NULL,
  PRIMARY KEY (account, actor, method, request_id)
) STRICT;

CREATE INDEX request_time ON request (account, time);

CREATE TABLE inbox (
  account TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  channel_message_sid TEXT NOT NULL,
  time INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  form BLOB NOT NULL,
  PRIMARY KEY (account, endpoint_id, channel_message_sid)
) STRICT;

CREATE INDEX inbox_time ON inbox (account, time);

CREATE INDEX inbox_dead ON inbox (account, time, channel_message_sid)
WHERE state = 'dead';

CREATE TABLE outbox (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  state TEXT NOT NULL,
  pair TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

-- Dead letters stay and may be many; recovery reads the living.
CREATE INDEX outbox_living ON outbox (account, pair, sequence) WHERE state <> 'dead';

CREATE INDEX outbox_dead ON outbox (account, create_time, sid) WHERE state = 'dead';

CREATE TABLE account (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE key (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  account_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE claim (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  account_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE workspace (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE activity (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_channel (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_queue (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflow (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE TABLE worker (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  activity_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE TABLE worker_channel (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  worker_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE INDEX worker_channel_worker ON worker_channel (account, worker_sid);

CREATE TABLE task (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  workflow_sid TEXT NOT NULL,
  task_queue_sid TEXT NOT NULL,
  status TEXT NOT NULL,
  invite_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX task_task_queue ON task (account, task_queue_sid, create_time);

CREATE INDEX task_workflow ON task (account, workflow_sid, create_time);

CREATE INDEX task_status ON task (account, status, create_time);

CREATE INDEX task_create_time ON task (account, create_time);

CREATE TABLE reservation (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  task_sid TEXT NOT NULL,
  worker_sid TEXT NOT NULL,
  status TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX reservation_task ON reservation (account, task_sid, create_time);

CREATE INDEX reservation_worker ON reservation (account, worker_sid, create_time);

CREATE INDEX reservation_status ON reservation (account, status, create_time);

CREATE INDEX reservation_create_time ON reservation (account, create_time);

CREATE TABLE conversation (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  state TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX conversation_state ON conversation (account, state, create_time);

CREATE INDEX conversation_create_time ON conversation (account, create_time);

CREATE TABLE participant (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  conversation_sid TEXT NOT NULL,
  identity TEXT NOT NULL,
  address TEXT NOT NULL,
  remove_time INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX participant_conversation ON participant (account, conversation_sid, create_time);

CREATE INDEX participant_identity ON participant (account, identity, create_time)
  WHERE identity <> '';

CREATE INDEX participant_address ON participant (account, address, create_time)
  WHERE address <> '';

CREATE TABLE message (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  conversation_sid TEXT NOT NULL,
  "index" INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE UNIQUE INDEX message_conversation ON message (account, conversation_sid, "index");

CREATE TABLE receipt (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  conversation_sid TEXT NOT NULL,
  message_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX receipt_message ON receipt (account, message_sid, create_time);

CREATE INDEX receipt_conversation ON receipt (account, conversation_sid, create_time);

CREATE TABLE interaction (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  workspace_sid TEXT NOT NULL,
  conversation_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX interaction_conversation ON interaction (account, conversation_sid, create_time);

CREATE INDEX interaction_create_time ON interaction (account, create_time);

CREATE TABLE interaction_channel (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  interaction_sid TEXT NOT NULL,
  status TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX interaction_channel_interaction ON interaction_channel (account, interaction_sid, create_time);

CREATE INDEX interaction_channel_active ON interaction_channel (account, interaction_sid)
  WHERE status = 'active';

CREATE TABLE interaction_participant (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  interaction_sid TEXT NOT NULL,
  channel_sid TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX interaction_participant_channel ON interaction_participant (account, channel_sid, create_time);

CREATE INDEX interaction_participant_interaction ON interaction_participant (account, interaction_sid, create_time);

CREATE TABLE invite (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  interaction_sid TEXT NOT NULL,
  status TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT;

CREATE INDEX invite_interaction ON invite (account, interaction_sid, create_time);

CREATE TABLE address_configuration (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  address TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

CREATE TABLE sender (
  account TEXT NOT NULL,
  sid TEXT NOT NULL,
  version INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  address TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (account, sid)
) STRICT, WITHOUT ROWID;

-- Interactions whose rows stay in memory: an open channel, or an open task.
CREATE VIEW open_interaction AS
SELECT account, interaction_sid FROM interaction_channel WHERE status = 'active'
UNION
SELECT invite.account, invite.interaction_sid
FROM task JOIN invite ON invite.account = task.account AND invite.sid = task.invite_sid
WHERE task.status IN ('pending', 'reserved', 'assigned', 'wrapping');
