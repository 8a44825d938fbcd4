-- Transactions that write to queue_jobs at this moment, by their locks on the table. What they have read of a queue's turn may be older
-- than what is published now; whoever comes later reads that.
SELECT DISTINCT l.virtualtransaction FROM pg_locks l
 WHERE l.locktype = 'relation' AND l.relation = 'queue_jobs'::regclass AND l.mode = 'RowExclusiveLock'
   AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
