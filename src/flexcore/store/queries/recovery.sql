-- Recovery reads what is open and never walks through what is finished: the plus keeps
-- SQLite from reading a whole table in the order of its index by creation.

-- recover_worker_channel -- all worker channels
SELECT body FROM worker_channel WHERE account = ?1 ORDER BY +create_time, sid;

-- recover_task -- open tasks
SELECT body FROM task
WHERE account = ?1 AND status IN ('pending', 'reserved', 'assigned', 'wrapping')
ORDER BY +create_time, sid;

-- recover_reservation -- their reservations, ended ones too: they are deleted together
SELECT body FROM reservation
WHERE account = ?1 AND task_sid IN (
  SELECT sid FROM task
  WHERE account = ?1 AND status IN ('pending', 'reserved', 'assigned', 'wrapping')
) ORDER BY +create_time, sid;

-- recover_interaction -- interactions that are worked on
SELECT body FROM interaction WHERE account = ?1 AND sid IN (
  SELECT interaction_sid FROM open_interaction WHERE account = ?1
) ORDER BY +create_time, sid;

-- recover_interaction_channel -- their channels
SELECT body FROM interaction_channel WHERE account = ?1 AND interaction_sid IN (
  SELECT interaction_sid FROM open_interaction WHERE account = ?1
) ORDER BY +create_time, sid;

-- recover_interaction_participant -- their participants
SELECT body FROM interaction_participant WHERE account = ?1 AND interaction_sid IN (
  SELECT interaction_sid FROM open_interaction WHERE account = ?1
) ORDER BY +create_time, sid;

-- recover_invite -- their invites
SELECT body FROM invite WHERE account = ?1 AND interaction_sid IN (
  SELECT interaction_sid FROM open_interaction WHERE account = ?1
) ORDER BY +create_time, sid;

-- recover_conversation -- their conversations
SELECT body FROM conversation WHERE account = ?1 AND sid IN (
  SELECT conversation_sid FROM interaction WHERE account = ?1 AND sid IN (
    SELECT interaction_sid FROM open_interaction WHERE account = ?1
  )
) ORDER BY +create_time, sid;

-- recover_participant -- the participants of those conversations
SELECT body FROM participant WHERE account = ?1 AND conversation_sid IN (
  SELECT conversation_sid FROM interaction WHERE account = ?1 AND sid IN (
    SELECT interaction_sid FROM open_interaction WHERE account = ?1
  )
) ORDER BY +create_time, sid;
