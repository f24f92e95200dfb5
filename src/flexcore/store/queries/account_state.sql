-- list_account_state -- the accounts that have a state here
SELECT account FROM account_state ORDER BY account;

-- insert_account_state -- make room for a new account
INSERT INTO account_state (account, epoch, head_sequence, floor_sequence, watermark)
VALUES (?1, 1, 0, 0, 0)
ON CONFLICT (account) DO NOTHING;

-- get_account_state -- where an account stands
SELECT epoch, head_sequence, floor_sequence, watermark
FROM account_state WHERE account = ?1;

-- advance_account_state -- move the head, and the high-water mark of the clock
UPDATE account_state SET head_sequence = ?2, watermark = max(watermark, ?3)
WHERE account = ?1;

-- begin_epochs -- let every account be in an epoch that none of its logs was in before
UPDATE account_state SET epoch = max(epoch + 1, ?1);

-- raise_floor -- write down the last sequence the log no longer holds
UPDATE account_state SET floor_sequence = ?2 WHERE account = ?1;
