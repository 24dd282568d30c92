// The panels around the batches. Each shows what it was given, that there is nothing, or why it has nothing.

import { post, session } from "./api.js";
import { action, badge, byId, el, fill, setText, show, table, toast } from "./dom.js";
import { ago, count, duration, money, percent, rate, time } from "./format.js";

const num = (name) => ({ name, class: "num" });
const col = (name, cls) => ({ name, class: cls });
const link = (kind, id) => el("a", { href: `#/${kind}/${encodeURIComponent(id)}` }, id);

export const nothing = (text) => el("p", { class: "empty" }, text);

export function loading(id) {
  fill(id, el("p", { class: "empty", "data-loading": "" }, "Loading…"));
}

/** What was shown stays while the server cannot be reached or asks for patience; the banner says so. */
export function failed(id, error) {
  const place = byId(id);
  const hasContent = !place.querySelector("[data-loading], .empty.error");
  if (error.status === 429) return;
  if (error.status === 0 && hasContent) place.classList.add("stale");
  else if (error.status === 404) fill(id, nothing("This server has none of these."));
  else fill(id, el("p", { class: "empty error" }, error.message));
}

let tiles = new Map();

export function showTiles({ tasks, performance, queue, system }, day) {
  const values = {
    "Per minute": [rate(performance.throughput)],
    Running: [count(tasks.running)],
    Waiting: [count(queue.depth), queue.depth > 0 ? `oldest ${duration(queue.oldestAge)}` : ""],
    "Done, 24 h": [day ? count(day.totals.completed) : "–"],
    "Failed, 24 h": [
      day ? count(day.totals.failed) : "–",
      day?.totals.retries ? `${count(day.totals.retries)} retries` : "",
    ],
    "p95, 24 h": [day ? duration(day.latency.p95) : "–"],
    "Cost, 24 h": [day ? money(day.costUsd) : "–"],
    Processor: [
      percent(system.cpuUsage),
      system.eventLoopLag > 0.2 ? `${duration(system.eventLoopLag)} late` : "",
    ],
  };
  const place = byId("tiles");
  place.classList.remove("stale");
  if (!place.querySelector("dl")) {
    tiles = new Map(
      Object.keys(values).map((name) => [
        name,
        { value: el("span"), unit: el("span", { class: "unit" }) },
      ]),
    );
    fill(
      "tiles",
      el(
        "dl",
        null,
        ...[...tiles].map(([name, tile]) =>
          el("div", null, el("dt", null, name), el("dd", null, tile.value, " ", tile.unit)),
        ),
      ),
    );
  }
  for (const [name, [value, unit = ""]] of Object.entries(values)) {
    setText(tiles.get(name).value, value);
    setText(tiles.get(name).unit, unit);
  }
}

export function showHealth(status) {
  const node = byId("health");
  node.className = `badge ${status.status}`;
  setText(node, status.status);
  fill(
    "reasons",
    ...status.reasons.map(({ service, reason }) => el("li", null, `${service}: ${reason}`)),
  );
  show(byId("reasons"), status.reasons.length > 0);
  setText(
    byId("provider"),
    status.provider.isSimulator
      ? `${status.version} · built-in simulator, no cost`
      : `${status.version} · ${status.provider.name}`,
  );
}

export function showFailures({ failures }) {
  if (failures.length === 0) return fill("failures", nothing("Nothing failed."));
  fill(
    "failures",
    table(
      [col("Cause", "cut"), col("Model"), num("Tasks"), col("Latest")],
      failures.map(({ code, message, model, count: n, taskId, at }) => [
        el(
          "span",
          { title: message },
          el("div", null, code || "unknown"),
          el("div", { class: "hint cut" }, message),
        ),
        model,
        count(n),
        el(
          "a",
          {
            href: `#/task/${encodeURIComponent(taskId)}`,
            "aria-label": `${ago(at)}: task ${taskId}`,
          },
          ago(at),
        ),
      ]),
    ),
  );
}

export function showFlight({ tasks, pagination }) {
  if (tasks.length === 0) return fill("flight", nothing("No call is under way."));
  const more = pagination.total - tasks.length;
  fill(
    "flight",
    table(
      [col("Task", "cut"), col("Model"), num("Attempt"), num("For")],
      tasks.map((task) => [
        link("task", task.id),
        task.model,
        String(Math.max(1, task.attempts)),
        task.startedAt ? duration((Date.now() - Date.parse(task.startedAt)) / 1000) : "–",
      ]),
    ),
    more > 0 ? el("p", { class: "hint" }, `and ${count(more)} more`) : null,
  );
}

export function showModels({ byModel }) {
  const used = byModel.filter(({ completed, failed: bad }) => completed + bad > 0);
  if (used.length === 0) return fill("models", nothing("No task ended in this period."));
  fill(
    "models",
    table(
      [col("Model", "cut"), num("Done"), num("Failed"), num("p95"), num("Tokens"), num("Cost")],
      used.map((m) => [
        m.model,
        count(m.completed),
        count(m.failed),
        duration(m.latency.p95),
        count(m.tokens.total),
        money(m.costUsd),
      ]),
    ),
  );
}

export function showSchedules({ tasks: schedules }, refresh) {
  if (schedules.length === 0) return fill("schedules", nothing("No schedule."));
  fill(
    "schedules",
    table(
      [col("Schedule", "wrap"), col("Next and last run"), col("", "num")],
      schedules.map((s) => [
        el(
          "span",
          { title: `${s.schedule} (${s.timezone ?? "UTC"})` },
          el("div", null, s.name),
          el("div", { class: "hint" }, `${s.schedule} ${s.timezone ?? ""}`),
          s.pauseReason ? el("div", { class: "hint error wrap" }, s.pauseReason) : null,
        ),
        el(
          "span",
          null,
          s.isActive ? el("div", { title: time(s.nextRun) }, ago(s.nextRun)) : badge("paused"),
          el(
            "div",
            { class: "hint" },
            s.lastRun ? `${ago(s.lastRun)} ` : "never run",
            s.lastRun && s.lastRunStatus ? badge(s.lastRunStatus) : null,
          ),
        ),
        session.canWrite()
          ? action(
              "Run now",
              async () => {
                await post(`/scheduled-tasks/${encodeURIComponent(s.id)}/run`);
                toast(`${s.name}: started`);
                refresh();
              },
              { "aria-label": `Run ${s.name} now`, "data-schedule": s.id },
            )
          : "",
      ]),
    ),
  );
}

export function showWebhooks({ webhooks = [] }, { details }) {
  if (webhooks.length === 0) return fill("webhooks", nothing("No webhook."));
  fill(
    "webhooks",
    table(
      [col("Webhook", "cut"), col("State")],
      webhooks.map((w) => [
        el(
          "span",
          { title: w.url },
          el("div", { class: "cut" }, w.url),
          el("div", { class: "hint cut" }, w.events.join(", ")),
        ),
        el(
          "span",
          null,
          badge(webhookState(w)),
          w.disabledReason ? el("div", { class: "hint wrap" }, w.disabledReason) : null,
          w.isActive && w.failingSince
            ? el("div", { class: "hint" }, `failing since ${time(w.failingSince)}`)
            : null,
        ),
      ]),
    ),
    el("p", { class: "hint" }, `${count(details.waitingDeliveries ?? 0)} deliveries wait`),
  );
}

function webhookState({ isActive, disabledReason, failingSince }) {
  if (!isActive) return disabledReason ? "failed" : "paused";
  return failingSince ? "degraded" : "healthy";
}

export function showNodes({ details, reasons }) {
  fill(
    "nodes",
    ...reasons.map((reason) => el("p", { class: "error" }, reason)),
    details.nodes?.length > 0
      ? table(
          [col("Node"), num("Running"), num("Heartbeat"), num("Up since")],
          details.nodes.map((n) => [
            `#${n.node}`,
            count(n.running),
            `${duration(n.heartbeatAge)} ago`,
            time(n.startedAt),
          ]),
        )
      : nothing("No process runs tasks."),
    el(
      "p",
      { class: "hint" },
      `${details.threadsAlive} of ${details.threads} worker threads here, ${count(details.inFlight)} of ${count(details.maxConcurrency)} calls, event loop ${duration(details.eventLoopLag)} late at most`,
    ),
  );
}
