// The table of batches: a row is made once and then only changed where it differs.

import { download, post, session } from "./api.js";
import { action, badge, byId, el, keepFocus, setText, show, sureAction, toast } from "./dom.js";
import { ago, count, duration, money, rate } from "./format.js";

/** A batch's pace is measured over this time. */
const PACE_MS = 15_000;
const ENDED = new Set(["completed", "failed", "cancelled"]);

const EMPTY = el(
  "p",
  { class: "empty" },
  "No batch yet. Upload a CSV and run it: one row is one task.",
);

export function createBatches({ refresh }) {
  const rows = new Map();
  const body = el("tbody");
  const table = el(
    "table",
    null,
    el(
      "thead",
      null,
      el(
        "tr",
        null,
        ["Batch", "Status", "Progress", "Done", "Pace", "Left", "Cost", ""].map((name, i) =>
          el("th", { scope: "col", class: i > 2 && i < 7 ? "num" : "" }, name),
        ),
      ),
    ),
    body,
  );

  /** What `/batches` lists, the newest first. */
  function setAll(batches) {
    const ids = new Set(batches.map(({ id }) => id));
    for (const [id, { node }] of rows) {
      if (ids.has(id)) continue;
      node.remove();
      rows.delete(id);
    }
    for (const [place, batch] of batches.entries()) {
      const row = rows.get(batch.id) ?? makeRow(batch, refresh);
      rows.set(batch.id, row);
      // A row that is where it belongs is not moved, which would take the focus from it.
      if (body.children[place] !== row.node)
        body.insertBefore(row.node, body.children[place] ?? null);
      row.set(batch);
    }
    const place = byId("batches");
    place.classList.remove("stale");
    const shown = batches.length > 0 ? table : EMPTY;
    if (place.firstChild !== shown) place.replaceChildren(shown);
    note();
  }

  function note() {
    // The page lists the newest alone, and counts what it lists.
    const running = [...rows.values()].filter(({ batch }) => batch?.status === "running").length;
    const paused = [...rows.values()].filter(({ batch }) => batch?.status === "paused").length;
    setText(
      byId("batches-note"),
      [
        (running > 0 || paused > 0) && `of the newest ${rows.size}:`,
        [running && `${running} running`, paused && `${paused} paused`].filter(Boolean).join(", "),
      ]
        .filter(Boolean)
        .join(" "),
    );
  }

  return {
    setAll,
    /** Takes an event; returns false where the list must be read again. */
    take({ type, data }) {
      const row = rows.get(data.batchId);
      if (!row) return false;
      if (type !== "batch.progress") return false;
      const { total, completed, failed, cancelled, running, costUsd } = data;
      const pending = total - completed - failed - cancelled - running;
      row.set({
        ...row.batch,
        progress: { total, completed, failed, cancelled, running, pending },
        costUsd,
      });
      return true;
    },
    tick() {
      for (const row of rows.values()) row.tick();
    },
  };
}

function makeRow(first, refresh) {
  const { id } = first;
  const parts = {
    link: el("a", { href: `#/batch/${encodeURIComponent(id)}` }),
    note: el("div", { class: "hint cut" }),
    status: el("td"),
    done: el("i", { class: "done" }),
    failed: el("i", { class: "failed" }),
    running: el("i", { class: "running" }),
    count: el("div"),
    besides: el("div", { class: "hint" }),
    pace: el("td", { class: "num" }),
    left: el("td", { class: "num left" }),
    cost: el("td", { class: "num" }),
    buttons: el("div", { class: "buttons" }),
  };
  const bar = el(
    "div",
    {
      class: "progress",
      role: "progressbar",
      "aria-label": `Progress of ${first.name}`,
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    },
    parts.done,
    parts.failed,
    parts.running,
  );
  const node = el(
    "tr",
    { "data-batch": id },
    el("td", { class: "name" }, parts.link, parts.note),
    parts.status,
    el("td", { class: "bar-cell" }, bar),
    el("td", { class: "num" }, parts.count, parts.besides),
    parts.pace,
    parts.left,
    parts.cost,
    el("td", { class: "act" }, parts.buttons),
  );
  const samples = [];
  const row = { node, batch: undefined, set, tick };

  function set(batch) {
    const before = row.batch;
    row.batch = batch;
    const { total, completed, failed, cancelled, running } = batch.progress;
    const ended = completed + failed + cancelled;
    setText(parts.link, batch.name);
    const width = (n) => `${total === 0 ? 0 : (100 * n) / total}%`;
    parts.done.style.width = width(completed);
    parts.failed.style.width = width(failed);
    parts.running.style.width = width(running);
    bar.setAttribute("aria-valuenow", String(total === 0 ? 0 : Math.round((100 * ended) / total)));
    setText(parts.count, `${count(completed + failed)} / ${count(total)}`);
    setText(parts.besides, besides({ failed, cancelled }));
    setText(parts.cost, money(batch.costUsd));
    if (before?.status !== batch.status || (before?.progress.failed === 0) !== (failed === 0)) {
      parts.status.replaceChildren(badge(batch.status));
      if (before?.status !== batch.status) samples.length = 0;
      keepFocus(parts.buttons, () => parts.buttons.replaceChildren(...buttonsOf(batch, refresh)));
    }
    samples.push([performance.now(), ended]);
    tick();
  }

  function tick() {
    const { batch } = row;
    if (!batch) return;
    const now = performance.now();
    while (samples.length > 2 && now - samples[0][0] > PACE_MS) samples.shift();
    const [first, last] = [samples[0], samples.at(-1)];
    const perMs = last[1] > first[1] ? (last[1] - first[1]) / (now - first[0]) : 0;
    const isRunning = batch.status === "running";
    setText(parts.pace, isRunning && perMs > 0 ? `${rate(perMs * 60_000)}/min` : "");
    const { total, completed, failed, cancelled } = batch.progress;
    const left = total - completed - failed - cancelled;
    setText(parts.left, isRunning && perMs > 0 ? duration(left / perMs / 1000) : "");
    const why = whyNot(batch, perMs);
    setText(parts.note, why);
    show(parts.note, why !== "");
  }

  return row;
}

function besides(counts) {
  const words = Object.entries(counts)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${count(n)} ${name}`);
  return words.join(", ");
}

/** Whether it has no rows until another batch has ended. */
function isWaiting({ status, chain }) {
  return status === "pending" && chain?.status === "waiting";
}

/** Why a batch does not go on, or when it ended. */
export function whyNot(batch, pace) {
  const { running, pending } = batch.progress;
  if (batch.status === "paused") return batch.pauseReason?.message ?? "Paused";
  if (isWaiting(batch))
    return `Waits for ${batch.inputBatch} to end${batch.chain.isToStart ? ", and then starts" : ""}`;
  if (batch.chain?.error) return batch.chain.error.message;
  if (batch.status === "pending") return `Created ${ago(batch.createdAt)}, not started`;
  if (ENDED.has(batch.status))
    return `${batch.isDryRun ? "Dry run. " : ""}Ended ${ago(batch.completedAt)}`;
  if (batch.waiting?.reason === "rate_limit")
    return `Waits for the provider's limit${batch.waiting.until ? `, next call ${ago(batch.waiting.until)}` : ""}`;
  if (batch.waiting?.reason === "provider_unavailable")
    return "Waits for the provider to be there again";
  if (pending > 0 && running === 0 && pace === 0)
    return "Waits for its turn, its provider's limit, or a retry";
  return batch.isDryRun ? "Dry run" : "";
}

/** What can be done with a batch as it is. */
export function buttonsOf(batch, refresh) {
  const path = `/batches/${encodeURIComponent(batch.id)}`;
  const run = (verb, told, body) => async () => {
    await post(`${path}/${verb}`, body);
    toast(`${batch.name}: ${told}`);
    refresh();
  };
  const labelled = (name) => ({ "aria-label": `${name} ${batch.name}` });
  const does = (name, verb, told, body) => action(name, run(verb, told, body), labelled(name));
  const buttons = [];
  if (session.canWrite()) {
    if (batch.status === "pending" && !batch.chain?.isToStart)
      buttons.push(does("Run", "execute", isWaiting(batch) ? "starts with its rows" : "started"));
    if (batch.status === "running") buttons.push(does("Pause", "pause", "paused"));
    if (batch.status === "paused") buttons.push(does("Resume", "resume", "goes on"));
    if (["pending", "running", "paused"].includes(batch.status))
      buttons.push(sureAction("Cancel", "Really?", run("cancel", "cancelled"), labelled("Cancel")));
    if (ENDED.has(batch.status) && batch.progress.failed > 0)
      buttons.push(does("Retry failed", "retry", "failed tasks run again"));
    if (ENDED.has(batch.status) && batch.progress.cancelled > 0)
      buttons.push(
        does("Run cancelled", "retry", "cancelled tasks run again", { statuses: ["cancelled"] }),
      );
  }
  return batch.status === "pending" ? buttons : [...buttons, ...downloadsOf(batch, path)];
}

/** Results as files: a CSV, one that runs no formulas, a workbook, and JSONL. */
function downloadsOf({ id, name }, path) {
  const files = [
    ["Download", "format=csv&bom=true", `Download the results of ${name}`],
    [
      "For spreadsheets",
      "format=csv&bom=true&safe=true",
      `For spreadsheets: the results of ${name}, none of which runs as a formula`,
    ],
    ["Excel", "format=xlsx", `Excel: the results of ${name} as a workbook`],
    ["JSONL", "format=jsonl", `JSONL: the results of ${name}`],
  ];
  return files.map(([label, query, described]) => {
    const [, extension] = /^format=(\w+)/.exec(query);
    const file = `${id}-results.${extension}`;
    return action(label, () => download(`${path}/results?${query}`, file), {
      "aria-label": described,
    });
  });
}
