import {
  type BenchRunner,
  cpuSeconds,
  printTable,
  quantile,
  residentMb,
  round,
  startRunner,
} from "./support.ts";

const STREAMS = 2000;
const SECONDS = 20;
const EVENTS_PER_SECOND = 500;
/** Each task causes two events. */
const TASKS_PER_SECOND = EVENTS_PER_SECOND / 2;
/** The measured time from the end of a call to the start of the next call in its slot. */
const TURN_MS = 18;

/**
 * The time until an event reaches 2,000 readers at 500 events a second, if every reader gets every event (a million
 * deliveries a second), and if each follows one of a hundred batches. It is measured from the event's own time, taken
 * before its commit, to the reader's socket. Of events that arrive in one piece, the oldest counts.
 */
export async function benchSse(): Promise<void> {
  const rows = [
    await measure("all events, to each of", 1),
    await measure("all events, to each of", STREAMS),
  ];
  rows.push(await measure("a hundredth each, to", STREAMS, 100));
  printTable(`Event streams at ${EVENTS_PER_SECOND} events/s, ms from event to reader`, rows);
}

async function measure(what: string, count: number, batches = 1) {
  const slots = Math.max(1, Math.round(TASKS_PER_SECOND / 10 / batches));
  const runner = await startRunner({
    // The duration at which these slots run the wanted number of tasks a second, less the time of a turn.
    SIMULATOR_LATENCY_MS: String(Math.round((1000 * slots * batches) / TASKS_PER_SECOND) - TURN_MS),
    MAX_STREAMS_PER_KEY: "0",
    RATE_LIMIT_PER_MINUTE: "0",
    MAX_CONCURRENCY: "1000",
    WORKERS: "1",
  });
  const perBatch = Math.ceil((TASKS_PER_SECOND * (SECONDS + 10)) / batches);
  for (let b = 0; b < batches; b++) {
    const tasks = Array.from({ length: perBatch }, (_, i) => ({ prompt: `p${i}` }));
    await runner.api("POST", "/batches", { id: `b${b}`, tasks, config: { maxConcurrency: slots } });
  }
  const readers = await openReaders(runner, count, (i) =>
    batches === 1 ? "/events" : `/events?batchId=b${i % batches}`,
  );
  const idleMb = residentMb(runner.pid);
  for (let b = 0; b < batches; b++) await runner.api("POST", `/batches/b${b}/execute`);
  await Bun.sleep(3000);
  readers.reset();
  const before = { cpu: cpuSeconds(runner.pid).byThread.get("main") ?? 0, at: performance.now() };
  await Bun.sleep(SECONDS * 1000);
  const seconds = (performance.now() - before.at) / 1000;
  const cpu = (cpuSeconds(runner.pid).byThread.get("main") ?? 0) - before.cpu;
  const { delays, events, bytes } = readers.reported();
  const row = {
    what,
    streams: count,
    "delivered/s": round(events / seconds),
    "MB/s": round(bytes / seconds / 1e6, 1),
    p50: round(quantile(delays, 0.5)),
    p99: round(quantile(delays, 0.99)),
    max: round(quantile(delays, 1)),
    "main thread": round(cpu / seconds, 2),
    "MB idle": round(idleMb),
    "MB loaded": round(residentMb(runner.pid)),
  };
  readers.close();
  await runner.stop();
  return row;
}

/** Raw sockets, because otherwise the parsing of a million events a second would be measured. */
async function openReaders(runner: BenchRunner, count: number, path: (i: number) => string) {
  const { hostname, port } = new URL(runner.url);
  const state = { delays: [] as number[], events: 0, bytes: 0, open: 0 };
  const take = (data: Buffer) => {
    state.bytes += data.length;
    const now = Date.now();
    let isOldest = true;
    for (let at = data.indexOf(STAMP); at !== -1; at = data.indexOf(STAMP, at + STAMP.length)) {
      state.events++;
      if (!isOldest) continue;
      isOldest = false;
      const from = at + STAMP.length;
      const time = Date.parse(data.toString("latin1", from, from + 24));
      if (!Number.isNaN(time)) state.delays.push(now - time);
    }
  };
  const sockets: { end(): void }[] = [];
  for (let i = 0; i < count; i++)
    sockets.push(
      await Bun.connect({
        hostname,
        port: Number(port),
        socket: {
          open(socket) {
            state.open++;
            socket.write(
              `GET /api/v1${path(i)} HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer bench\r\n\r\n`,
            );
          },
          data: (_, data) => take(data),
        },
      }),
    );
  while (state.bytes < count * 100) await Bun.sleep(50);
  return {
    reset: () => Object.assign(state, { delays: [], events: 0, bytes: 0 }),
    reported: () => state,
    close: () => {
      for (const socket of sockets) socket.end();
    },
  };
}

const STAMP = Buffer.from('"timestamp":"');
