-- insert_past_epochs -- write down how far every account's log came in its epoch
INSERT INTO past_epoch (account, epoch, last_sequence)
SELECT account, epoch, head_sequence FROM account_state;

-- list_past_epoch -- the epochs of an account that are over, and how far each came
SELECT epoch, last_sequence FROM past_epoch WHERE account = ?1 ORDER BY epoch;

-- delete_past_epochs -- forget all but the newest ones of every account
DELETE FROM past_epoch WHERE (account, epoch) IN (
  SELECT account, epoch FROM (
    SELECT account, epoch,
      row_number() OVER (PARTITION BY account ORDER BY epoch DESC) AS place
    FROM past_epoch
  )
  WHERE place > ?1
);
