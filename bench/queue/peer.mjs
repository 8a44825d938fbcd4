// Measures one queue from npm: node peer.mjs <graphile-worker|pg-boss> <default|each|batched> <jobs> <seconds at most>
//
// The database comes in PGHOST, PGPORT, PGUSER and PGDATABASE, and is empty. Prints one line of JSON: jobs completed and the seconds
// that took, from the start of the worker to the last completion in the table; and milliseconds from the commit of a job to its start,
// one job at a time.

import pg from "pg";

const [library, mode, jobsText, limitText] = process.argv.slice(2);
const jobs = Number(jobsText);
const limit = Number(limitText) * 1000;
const pool = new pg.Pool({ max: 2 });
pool.on("error", console.error);
pool.on("connect", (client) => client.on("error", console.error));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const one = async (sql) => Number((await pool.query(sql)).rows[0].n);

let done = 0;
let pinged = null;
const ran = (job) => {
  if (job.ping) pinged?.(performance.now());
  else done += 1;
};

async function drain(start, left) {
  const begin = performance.now();
  const stop = await start();
  let end = begin;
  while (done < jobs && performance.now() - begin < limit) await sleep(1);
  while (done >= jobs && (await left()) > 0) await sleep(1);
  end = performance.now();
  return { stop, completed: Math.min(done, jobs), seconds: (end - begin) / 1000 };
}

async function pickUp(add) {
  await sleep(3000);
  const took = [];
  const begin = performance.now();
  while (took.length < 200 && performance.now() - begin < 15_000) {
    await sleep(15 + Math.random() * 20);
    const started = new Promise((resolve) => (pinged = resolve));
    await add();
    const committed = performance.now();
    took.push(Math.max(0, (await started) - committed));
  }
  return took.sort((a, b) => a - b);
}

async function graphile() {
  const { run, makeWorkerUtils } = await import("graphile-worker");
  const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };
  const { Logger } = await import("graphile-worker");
  const logger = new Logger(() => (level, message) => quiet[level === "warning" ? "warn" : level]?.(message));
  const settings = {
    default: {},
    each: { concurrentJobs: 32, maxPoolSize: 34, localQueue: { size: 500 } },
    batched: { concurrentJobs: 32, maxPoolSize: 34, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
  }[mode];
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  await pool.query(
    `SELECT count(graphile_worker.add_job('noop', json_build_object('n', n))) FROM generate_series(1, ${jobs}) n`,
  );
  await pool.query("VACUUM ANALYZE");
  const start = async () => {
    const workers = new pg.Pool({ max: settings.maxPoolSize ?? 10 });
    workers.on("error", console.error);
    workers.on("connect", (client) => client.on("error", console.error));
    const runner = await run({
      pgPool: workers,
      preset: { worker: settings },
      taskList: { noop: async (payload) => ran(payload) },
      noHandleSignals: true,
      logger,
    });
    return async () => {
      await runner.stop();
      await workers.end();
    };
  };
  const result = await drain(start, () => one("SELECT count(*) AS n FROM graphile_worker._private_jobs"));
  if (done < jobs) await pool.query("DELETE FROM graphile_worker._private_jobs WHERE locked_at IS NULL");
  result.pickUp = await pickUp(() => utils.addJob("noop", { ping: true }));
  await result.stop();
  await utils.release();
  return result;
}

async function boss() {
  const { PgBoss } = await import("pg-boss");
  const tuned = mode !== "default";
  const database = {
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
  };
  const queue = new PgBoss({ ...database, max: tuned ? 34 : 10, ...(tuned ? { useListenNotify: true } : {}) });
  queue.on("error", (error) => console.error(String(error)));
  await queue.start();
  await queue.createQueue("noop", tuned ? { notify: true } : {});
  for (let n = 0; n < jobs; n += 1000) {
    await queue.insert("noop", Array.from({ length: Math.min(1000, jobs - n) }, (_, i) => ({ data: { n: n + i } })));
  }
  await pool.query("VACUUM ANALYZE");
  const settings = {
    default: {},
    // Fetched in batches, each job completed by a statement of its own: with a batch size of 1 it does as many jobs a second as it polls.
    each: { batchSize: 100, localConcurrency: 8, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
    batched: { batchSize: 1000, localConcurrency: 4, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
  }[mode];
  const start = async () => {
    await queue.work("noop", settings, async (batch) => {
      if (mode !== "each") return batch.forEach((job) => ran(job.data));
      await Promise.all(
        batch.map(async (job) => {
          ran(job.data);
          await queue.complete("noop", job.id);
        }),
      );
    });
    return () => queue.stop({ graceful: false });
  };
  const result = await drain(start, () => one("SELECT count(*) AS n FROM pgboss.job WHERE name = 'noop' AND state < 'completed'"));
  if (done < jobs) await pool.query("DELETE FROM pgboss.job WHERE name = 'noop' AND state = 'created'");
  result.pickUp = await pickUp(() => queue.send("noop", { ping: true }));
  await result.stop();
  return result;
}

const result = await (library === "graphile-worker" ? graphile() : boss());
const { completed, seconds, pickUp: took } = result;
process.stdout.write(`${JSON.stringify({ completed, seconds, pick_up_ms: took })}\n`);
process.exit(0);
