"""Every limit of flexcore: a name, a unit, and what happens when it is reached.

Times are microseconds unless the name ends in another unit.
"""

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Fields (overflow: INVALID_ARGUMENT naming the field)
FRIENDLY_NAME_CHARS = 64
CONVERSATION_NAME_CHARS = 256
UNIQUE_NAME_CHARS = 64
IDENTITY_CHARS = 256
ADDRESS_CHARS = 256
REQUEST_ID_CHARS = 128
REASON_CHARS = 256
ATTRIBUTES_BYTES = 64 * 1024
ATTRIBUTES_DEPTH = 16
ATTRIBUTES_KEYS = 1_000
ATTRIBUTES_KEY_BYTES = 256
BODY_CHARS = 32 * 1024
MEDIA_COUNT = 10
URL_CHARS = 2_048

# Expressions (overflow: INVALID_ARGUMENT with the position)
EXPRESSION_CHARS = 4 * 1024
EXPRESSION_DEPTH = 32
EXPRESSION_NODES = 256
EXPRESSION_LIST_ITEMS = 64
ORDER_BY_CLAUSES = 8
#: parsed expressions kept (overflow: the least recently used is parsed again)
EXPRESSION_CACHE = 1_024

# Workflows (overflow: INVALID_ARGUMENT with the path)
WORKFLOW_BYTES = 1_038_576
WORKFLOW_KEYS = 50_000
#: keys, strings and brackets
WORKFLOW_TOKENS = 150_000
WORKFLOW_FILTERS = 1_000
WORKFLOW_TARGETS = 50
#: filters, targets, and the words and signs of all different expressions: a document is
#: read in one go
WORKFLOW_PARTS = 12_000
#: characters of all different expressions together
WORKFLOW_EXPRESSION_CHARS = 128 * 1024
#: (overflow: the rest is left out, and that is said)
WORKFLOW_WARNINGS = 100
STEP_TIMEOUT_SECONDS = 1_209_600

# Documents of workspaces (overflow: INVALID_ARGUMENT)
DOCUMENT_BYTES = 1024 * 1024
DOCUMENT_KEYS = 100_000
#: of all workflows and queues of a document what WORKFLOW_PARTS counts (overflow:
#: RESOURCE_EXHAUSTED; in parts it can be imported)
DOCUMENT_PARTS = 20_000
#: attributes and configurations lie a few levels down
DOCUMENT_DEPTH = ATTRIBUTES_DEPTH + 5
#: faults named at once (overflow: the rest is found the next time)
DOCUMENT_FINDINGS = 100
#: (overflow: the rest is left out)
IMPORT_WARNINGS = 200
#: rows of an export that are read at once, and bytes after which its page ends
EXPORT_SLICE_ROWS = 20
EXPORT_BYTES = 1024 * 1024

# Routing
PRIORITY_MAX = 2**31 - 1
#: what a priority is worth at most where waiting counts (overflow: equal from there on)
RANK_MAX = 2**62
CAPACITY_MAX = 50
TASK_TIMEOUT_SECONDS_DEFAULT = 86_400
TASK_TIMEOUT_SECONDS_MAX = 1_209_600
RESERVATION_TIMEOUT_SECONDS_DEFAULT = 120
RESERVATION_TIMEOUT_SECONDS_MAX = 86_400
#: offers of one task; the next cycle cancels it (routing: "max assignment count")
ASSIGNMENTS_MAX = 1_000
#: ended reservations that one decision removes with their task (overflow: the next one
#: goes on, before anything else is decided)
REMOVED_AT_ONCE = 50
#: how long a finished task may be kept before it is deleted
RETENTION_SECONDS_MAX = 366 * 86_400
#: tasks to be deleted that are read from the store at once, and rows after which no
#: further one is (overflow: the next ones follow when these are gone, and fewer than so
#: many decisions wait for the disk)
PURGED_AT_ONCE = 64
PURGED_ROWS = 1_000
#: workers whose refusals of a task count (overflow: the one that is longest ago is
#: forgotten, and may be offered it again)
REFUSALS_MAX = 100
#: offers of one task at once
RESERVED_WORKERS_MAX = 50
#: tasks that the end of the worker they wait for may send on along their routing targets
#: (overflow: the worker is not deleted, RESOURCE_IN_USE)
SENT_ON_MAX = 50
#: steps that are over and one decision takes a task past (overflow: the next one goes
#: on, before anything else is decided)
STEPS_AT_ONCE = 100
#: links of a routing target (overflow: INVALID_ARGUMENT)
ROUTES_MAX = 10
#: how long a worker named by a routing target is waited for
ROUTE_WAIT_SECONDS_DEFAULT = 120
#: how long a task is not offered after callbacks that came to nothing, by how many in a
#: row; the last one repeats
CALLBACK_HOLDS = (1 * SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE)
DISPOSITION_CHARS = 256
#: target expressions with their order that the matcher keeps ready (overflow: one that
#: nobody waits with is dropped, and made again when needed)
SPECS_KEPT = 256
#: tasks or workers of one batch, and bytes of all of them; as rows they are a little more,
#: and have to fit into one change set (overflow: INVALID_ARGUMENT)
BATCH_MAX = 200
BATCH_BYTES = 768 * 1024
#: waiting tasks that one step of a re-evaluation moves, and the wait between two steps
RE_EVALUATE_TASKS = 50
RE_EVALUATE_WAIT = 10 * MILLISECOND
#: waiting tasks and workers that one decision tells the matcher anew of, because
#: something they read has changed (overflow: the next ones go on; until all are told,
#: nothing is offered)
TOLD_AT_ONCE = 100
#: workers whom one decision gives their room on a new task channel, or takes it from them
#: (overflow: the next one goes on, before anything else is decided)
ROOMS_AT_ONCE = 250
#: reservations that the end of a grace period ends in one decision (overflow: the next
#: one goes on, before anything else is decided)
VANISHED_AT_ONCE = 50
#: workers whose connectivity one decision changes (overflow: the next one goes on)
PRESENCE_AT_ONCE = 250
#: revisions kept of a workflow (overflow: the oldest that no open task is in goes; if
#: there is none, RESOURCE_EXHAUSTED)
REVISIONS_MAX = 100

# Counts per account, or of accounts (overflow: RESOURCE_EXHAUSTED)
ACCOUNTS_MAX = 1_000
KEYS_MAX = 1_000
WORKSPACES_MAX = 100
SENDERS_MAX = 5_000
ADDRESS_CONFIGURATIONS_MAX = 5_000
#: messages of one pair of addresses that wait for their carrier
UNSENT_MAX = 1_000

# Counts per workspace (overflow: RESOURCE_EXHAUSTED)
OPEN_TASKS_MAX = 500_000
ACTIVITIES_MAX = 100
TASK_CHANNELS_MAX = 15
TASK_QUEUES_MAX = 5_000
WORKFLOWS_MAX = 1_000
WORKERS_MAX = 50_000

# Conversations (overflow: RESOURCE_EXHAUSTED)
PARTICIPANTS_MAX = 1_000
EXTERNAL_PARTICIPANTS_MAX = 50
#: invites of an interaction whose tasks are open: one decision must be able to end them
OPEN_INVITES_MAX = 10

#: characters of an attribute that an event repeats (overflow: cut off)
EVENT_VALUE_CHARS = 256

# One decision (overflow: RESOURCE_EXHAUSTED, nothing changed)
CHANGE_SET_EVENTS = 4_000
CHANGE_SET_BYTES = 1024 * 1024
CHANGE_SET_RESOURCES = 1_000
#: offers that one decision gives their time back, however large they are
SHIFT_OFFERS = 250

# Explaining a waiting task: what is looked at before others have a turn, in workers, in
# sids that are only noted, and in time
EXPLAIN_WORKERS = 20
EXPLAIN_SIDS = 1_000
EXPLAIN_TIME = MILLISECOND // 10
#: how often it begins anew because the task or the staff is not what it was (overflow:
#: UNAVAILABLE with RetryInfo for the task, all sids at once for the staff)
EXPLAIN_ATTEMPTS = 5
#: what is shown: steps, workers who are nearest, and letters of an expression (overflow:
#: the rest is left out)
EXPLAIN_STEPS = 10
EXPLAIN_NEAREST = 5
EXPLAIN_CHARS = 120

# The mailbox of an account
TURN_COMMANDS = 64
TURN_TIME = 5 * MILLISECOND
#: decided and not yet durable (overflow: nothing more is decided, and if calls alone are
#: so many, or it takes so long, new ones are UNAVAILABLE with RetryInfo; else they wait)
UNDURABLE_COMMANDS = 2_000
UNDURABLE_BYTES = 8 * 1024 * 1024
UNDURABLE_TIME = 1 * SECOND
#: of these without a caller (overflow: the next deadline, and who comes after it, waits)
UNDURABLE_UNASKED = 500
#: commands waiting for keys or for their turn (overflow: UNAVAILABLE with RetryInfo)
MAILBOX_COMMANDS = 10_000
#: rows of finished work and look-ups kept in memory (overflow: the oldest are dropped)
CACHE_ENTRIES = 50_000

# Commit (overflow: the rest waits for the next batch)
BATCH_COMMANDS = 1_000
COMMIT_RETRY_FIRST = 50 * MILLISECOND
COMMIT_RETRY_MAX = 5 * SECOND
#: commits of one command each after a batch of this account was refused
SOLO_COMMITS = 64
#: before an account tries again what failed and has no caller
FAILURE_WAIT = 1 * SECOND

# The store
#: pages in the write-ahead log that are worth a checkpoint; commits are slower while it
#: lasts, so many short ones are better than a long one
CHECKPOINT_PAGES = 1_000
#: commands after which the writer looks how long the log is
CHECKPOINT_COMMANDS = 50
#: the write-ahead log's file is cut back to this when it starts anew
WAL_BYTES = 64 * 1024 * 1024
#: page cache of the connection that writes, and of each that reads
WRITER_CACHE_BYTES = 64 * 1024 * 1024
READER_CACHE_BYTES = 16 * 1024 * 1024
#: a lock somebody from outside holds on the database (overflow: the batch is retried)
BUSY_TIMEOUT = 1 * SECOND
#: prepared statements kept per connection (overflow: prepared again)
STATEMENTS = 256

# The log and its readers
TAIL_BYTES = 32 * 1024 * 1024
LOG_READ_BYTES = 512 * 1024
#: pages of the stored log that streams which catch up share, and events of each: a session
#: goes back 10,000 events at most (overflow: a page is read again)
LOG_PAGES = 24
LOG_PAGE_EVENTS = 500
#: after nobody read one for this long, they are forgotten
LOG_PAGES_KEPT = 10 * SECOND
LOG_RETENTION = 7 * DAY
#: of an account: as many starts of its server ago tokens are good (overflow: OUT_OF_RANGE)
PAST_EPOCHS = 1_000
#: rows deleted in one clean-up step of the writer
CLEANUP_ROWS = 500
CLEANUP_INTERVAL = 60 * SECOND
#: commands after which the writer cleans up; one step deletes more than they write
CLEANUP_COMMANDS = 250
#: a stream message carries at most this many events, or rows, figures or answers, and
#: bytes unless one alone is larger (overflow: the rest comes in the next message)
STREAM_MESSAGE_EVENTS = 500
STREAM_MESSAGE_BYTES = 256 * 1024
#: subjects whose own indexes a stream reads: a worker and its workspace (overflow: the
#: whole log is read, and what is of no subject passed over)
STREAM_SUBJECTS = 2
#: what streams showed lately and share: of messages, and of change sets as much again
#: (overflow: it is encoded again)
SHOWN_BYTES = 8 * 1024 * 1024
#: an agent's stream that resumes from further behind (overflow: it begins with a snapshot)
STREAM_BEHIND_EVENTS = 10_000
#: (overflow: the stream ends with its token, RESOURCE_EXHAUSTED)
STREAM_WRITE_TIMEOUT = 10 * SECOND
HEARTBEAT_INTERVAL = 15 * SECOND
#: heartbeats that fall due within this time of the first are written with it
HEARTBEAT_GRAIN = 50 * MILLISECOND
STREAMS_MAX = 10_000
#: workers of an agent session (overflow: those beyond are not subscribed, and that is told)
SESSION_WORKERS = 1_000
#: what a session sends without being acknowledged (overflow: the rest waits in the log)
SESSION_UNACKED_EVENTS = 256
SESSION_UNACKED_BYTES = 1024 * 1024
#: (overflow: the session ends with its token, RESOURCE_EXHAUSTED; it is looked at whenever
#: something is written, so at the latest with a heartbeat, after as long again)
SESSION_ACK_TIMEOUT = 15 * SECOND
#: commands without an answer: of a worker (overflow: RESOURCE_EXHAUSTED for the command),
#: and of a session (overflow: nothing is read from it until there are fewer)
SESSION_WORKER_COMMANDS = 64
SESSION_COMMANDS = 256
#: without a heartbeat a session vouches for nobody any more
PRESENCE_SILENCE = 45 * SECOND
#: a session's workers are looked at with a heartbeat, but not again within this time
PRESENCE_SETTLED = SECOND
#: workers to subscribe, to unsubscribe, or refused, of whom it was not told yet, and
#: declarations without an answer (overflow: the session ends with its token,
#: RESOURCE_EXHAUSTED)
SESSION_UNTOLD = 4_000
#: snapshots that are taken at once, and events a session may be behind meanwhile
SESSION_SNAPSHOTS = 50
SESSION_SUBSCRIBE_BEHIND = 1_000

# Statistics and lists of events
#: a window that is not given
STATISTICS_MINUTES_DEFAULT = 15
STATISTICS_MINUTES_MAX = LOG_RETENTION // MINUTE
#: queues asked about at once, and thresholds of waiting (overflow: INVALID_ARGUMENT)
STATISTICS_QUEUES_MAX = 50
SPLITS_MAX = 20
#: priorities by which open tasks are told, of each queue and channel (overflow: the
#: lowest are left out; the total has their tasks)
PRIORITIES_TOLD = 250
SERVICE_LEVEL_SECONDS_DEFAULT = 20
SHORT_ABANDON_SECONDS_DEFAULT = 5
#: how often statistics are read for those who watch, and queues read or
#: converted on the loop before others run: a quarter of a millisecond
STATISTICS_INTERVAL = SECOND
STATISTICS_QUEUES_AT_ONCE = 5
#: of the log, read and counted in one go: less than a millisecond of one core
STATISTICS_READ_BYTES = 24 * 1024
#: minutes read in one run, after which others may read
STATISTICS_RUN_MINUTES = 60
#: cells and spans of minutes that are over, kept by the process (overflow: the minute
#: not asked for longest is counted again)
STATISTICS_CACHE_ENTRIES = 50_000
#: cells or rows looked at on the loop before others run
STATISTICS_AT_ONCE = 100
#: change sets that one call of ListEvents looks at (overflow: the page ends)
LIST_EVENTS_CHANGE_SETS = 5_000

# Credentials (overflow: UNAUTHENTICATED)
CREDENTIAL_CHARS = 1_024
TOKEN_LIFETIME_DEFAULT = 15 * MINUTE
TOKEN_LIFETIME_MAX = 24 * HOUR
#: how far the clock of whoever signs tokens may be ahead of ours
TOKEN_LEEWAY = 30 * SECOND
#: tokens whose signature need not be verified again (overflow: that of the one verified
#: longest ago has to be)
TOKENS_CACHED = 10_000

# Idempotency and deduplication
REQUEST_RETENTION = 24 * HOUR
INBOX_RETENTION = 8 * DAY

# Time
#: the stored high-water mark of the clock is renewed this often while offers are open
WATERMARK_INTERVAL = 1 * SECOND

# Outbox
SEND_TIMEOUT = 15 * SECOND
SEND_ATTEMPTS = 11
#: waits between attempts; the last one repeats (overflow: dead letter)
SEND_BACKOFF = (
    1 * SECOND,
    5 * SECOND,
    30 * SECOND,
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    8 * HOUR,
)
#: sends in flight of one account; one per pair of addresses
SENDS_IN_FLIGHT = 64
#: assignment callbacks in flight of one account to one URL (overflow: the others wait)
CALLBACKS_IN_FLIGHT = 64
#: for an assignment callback's answer, its connection included (overflow: unreachable)
CALLBACK_TIMEOUT = 5 * SECOND
#: an `unknown` send is asked for again after this long
UNKNOWN_WAIT = 2 * SECOND
#: an outbox step the engine could not take is tried again after this long
OUTBOX_WAIT = 1 * SECOND
#: carrier sids remembered to tell messages apart, per pair of addresses and pairs
#: (overflow: the oldest are forgotten; an unknown send may then stay unknown)
CLAIMED_SIDS = 8
CLAIMED_PAIRS = 10_000

# What leaves (overflow: the send is retried, or unknown once it was written)
CONNECT_TIMEOUT = 5 * SECOND
CONNECTIONS_MAX = 1_024
RESPONSE_BYTES = 64 * 1024
#: how far a carrier's clock may be from ours when an unknown send is looked for
CARRIER_CLOCK_SKEW = 60 * SECOND

# gRPC and HTTP
#: a request; above what field rules allow, so that they answer for what is somewhat too
#: large (overflow: gRPC refuses it unread, RESOURCE_EXHAUSTED without a reason)
MESSAGE_BYTES = 2 * 1024 * 1024
WEBHOOK_BYTES = 1024 * 1024
#: fields of one form (overflow: 400)
WEBHOOK_FIELDS = 1_000
#: a webhook's body must have arrived by then (overflow: 408)
WEBHOOK_READ_TIMEOUT = 10 * SECOND
#: characters of a form value kept in attributes (overflow: cut)
WEBHOOK_VALUE_CHARS = 1_024
CHANNEL_MESSAGE_SID_CHARS = 64
CALL_DEADLINE_DEFAULT = 10 * SECOND
CALL_DEADLINE_MAX = 30 * SECOND
PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 1_000
#: rows that one page of a list looks at whose filter no index knows (overflow: a page of
#: fewer rows, from which the next one goes on), and rows it reads at a time
LIST_SCAN_ROWS = 5_000
LIST_SLICE_ROWS = 500
#: bytes of rows or change sets after which a page ends, so that with one more, whatever it
#: is, it stays below the 4 MiB that clients of gRPC take (overflow: a page of fewer rows)
LIST_BYTES = 1024 * 1024
DRAIN_TIME = 10 * SECOND
#: how long the event loop may stand still (overflow: the process ends with its stacks)
WATCHDOG_TIMEOUT = 20 * SECOND
#: streams that are told to go away at once, and the wait until the next: 10,000 of them,
#: and so their return, take 5 seconds
DRAIN_STREAMS = 20
DRAIN_PAUSE = 10 * MILLISECOND
