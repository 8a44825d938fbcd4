-- Workers that running jobs belong to and that are not there any more. No transition leads to that; a hand on the tables could.
SELECT DISTINCT j.worker_id FROM queue_jobs j
 WHERE j.state = 'running'
   AND NOT EXISTS (SELECT FROM queue_workers w WHERE w.domain_id = platform_domain_id() AND w.id = j.worker_id)
 LIMIT 20
