-- insert_past_epochs -- write down how far every account's log came in its epoch
INSERT INTO past_epoch (account, epoch, last_sequence)
SELECT account, epoch, head_sequence FROM account_state;

-- list_past_epoch -- the epochs of an account that are over, and how far each came
SELECT epoch, last_sequence FROM past_epoch WHERE account = ?1 ORDER BY epoch;

-- trim_past_epochs -- forget of every account the epoch that is one too many
DELETE FROM past_epoch WHERE (account, epoch) IN (
  SELECT account, (
    SELECT epoch FROM past_epoch WHERE account = account_state.account
    ORDER BY epoch DESC LIMIT 1 OFFSET ?1
  )
  FROM account_state
);
