-- insert_log -- append one change set
INSERT INTO log (account, first_sequence, last_sequence, time, command_id, actor, cause,
  checksum, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);

-- insert_log_subject -- let the narrow stream of one subject find a change set
INSERT INTO log_subject (account, subject, last_sequence) VALUES (?1, ?2, ?3);

-- read_log -- change sets after a sequence, oldest first
SELECT first_sequence, last_sequence, checksum, body FROM log
WHERE account = ?1 AND last_sequence > ?2
ORDER BY last_sequence;

-- read_log_of_subject -- change sets of one subject after a sequence, oldest first
SELECT log.first_sequence, log.last_sequence, log.checksum, log.body
FROM log_subject
CROSS JOIN log ON log.account = log_subject.account
  AND log.last_sequence = log_subject.last_sequence
WHERE log_subject.account = ?1 AND log_subject.subject = ?2
  AND log_subject.last_sequence > ?3
ORDER BY log_subject.last_sequence;

-- get_log -- the change set that ends at a sequence
SELECT first_sequence, last_sequence, checksum, body FROM log
WHERE account = ?1 AND last_sequence = ?2;

-- next_log_time -- end and time of the first change set after a sequence
SELECT last_sequence, time FROM log
WHERE account = ?1 AND last_sequence > ?2
ORDER BY last_sequence LIMIT 1;

-- list_log_expired -- the oldest change sets, as far as they are older than a time
SELECT first_sequence, last_sequence, checksum, body FROM (
  SELECT first_sequence, last_sequence, time, checksum, body FROM log
  WHERE account = ?1 ORDER BY last_sequence LIMIT ?3
) WHERE time < ?2 ORDER BY last_sequence;

-- delete_log -- forget the change sets up to a sequence
DELETE FROM log WHERE account = ?1 AND last_sequence <= ?2;

-- delete_log_subject -- forget a change set of a subject
DELETE FROM log_subject WHERE account = ?1 AND subject = ?2 AND last_sequence = ?3;
