// The live monitor: logs in, asks, listens, and hands what comes to the panels.

import { get, session } from "./api.js";
import { createBatches } from "./batches.js";
import { createCharts } from "./charts.js";
import { createDetails } from "./details.js";
import { byId, el, setText, show } from "./dom.js";
import { newBatch, newTask } from "./forms.js";
import { follow, poll } from "./live.js";
import * as panels from "./panels.js";
import { showProviders } from "./providers.js";

const BATCHES_SHOWN = 20;
const FLIGHT_SHOWN = 8;

let stop;

function start() {
  show(byId("login"), false);
  show(byId("monitor"), true);
  let defaultModel = "";
  let day;
  let latest;
  let period = "hour";
  const charts = createCharts();
  const polls = [];
  const every = (everyMs, ask, onError) => {
    const one = poll({
      everyMs,
      ask,
      onError: (error) =>
        endsSession(error) ? logOut("The API key is not valid any more") : onError?.(error),
    });
    polls.push(one);
    return one;
  };
  const panel = (id, everyMs, path, draw) =>
    every(
      everyMs,
      async () => draw(await get(path)),
      (error) => panels.failed(id, error),
    );
  for (const id of [
    "tiles",
    "batches",
    "failures",
    "flight",
    "models",
    "providers",
    "schedules",
    "webhooks",
    "nodes",
  ])
    panels.loading(id);
  showRights();

  const batches = createBatches({ refresh: () => list.now() });
  const details = createDetails({ refresh: () => list.now() });
  const list = panel("batches", 20_000, `/batches?limit=${BATCHES_SHOWN}`, ({ batches: all }) =>
    batches.setAll(all),
  );
  every(
    5000,
    async () => {
      latest = await get("/metrics");
      panels.showTiles(latest, day);
    },
    (error) => panels.failed("tiles", error),
  );
  const failures = panel("failures", 30_000, "/metrics/failures", panels.showFailures);
  const flight = panel(
    "flight",
    6000,
    `/tasks?status=running&limit=${FLIGHT_SHOWN}`,
    panels.showFlight,
  );
  const series = every(
    15_000,
    async () => {
      const metrics = await get(`/metrics/tasks?period=${period}`);
      charts.update(metrics);
      panels.showModels(metrics);
    },
    (error) => {
      panels.failed("models", error);
      charts.failed(error);
    },
  );
  every(12_000, async () => {
    day = await get("/metrics/tasks?period=day");
    if (latest) panels.showTiles(latest, day);
  });
  every(15_000, async () => {
    const status = await get("/status");
    session.scopes = status.caller.scopes;
    defaultModel = status.provider.defaultModel;
    showRights();
    panels.showHealth(status);
  });
  panel("providers", 15_000, "/status/services/openai", showProviders);
  panel("nodes", 15_000, "/status/services/workers", panels.showNodes);
  const schedules = panel("schedules", 30_000, "/scheduled-tasks?limit=10", (data) =>
    panels.showSchedules(data, () => schedules.nudge()),
  );
  every(
    30_000,
    async () => {
      const asked = [get("/webhooks?limit=10"), get("/status/services/webhooks")];
      panels.showWebhooks(...(await Promise.all(asked)));
    },
    (error) => panels.failed("webhooks", error),
  );

  drawPeriods((chosen) => {
    period = chosen;
    void series.now();
  });
  const onNewTask = () => newTask(defaultModel, () => flight.nudge());
  const onNewBatch = () => newBatch(defaultModel, () => list.now());
  byId("new-task").addEventListener("click", onNewTask);
  byId("new-batch").addEventListener("click", onNewBatch);

  function onEvents(texts) {
    let needsList = false;
    const seen = new Set();
    const progress = new Map();
    for (const text of texts) {
      const event = JSON.parse(text);
      seen.add(event.type);
      if (event.type === "batch.progress") progress.set(event.data.batchId, event);
      else if (event.type.startsWith("batch.")) needsList = true;
    }
    for (const event of progress.values()) if (!batches.take(event)) needsList = true;
    if (needsList) list.nudge();
    if (seen.has("task.failed")) failures.nudge();
    if (seen.has("scheduled_task.executed")) schedules.nudge();
    if (needsList || seen.has("task.started") || seen.has("task.completed")) void detailsSoon();
  }

  let detailsTimer;
  function detailsSoon() {
    if (!byId("drawer").open) return;
    detailsTimer ??= setTimeout(() => {
      detailsTimer = undefined;
      void details.update();
    }, 2500);
  }

  const unfollow = follow({
    onEvents,
    onState: (state) =>
      showStream(state, () => {
        for (const one of polls) void one.now();
      }),
  });
  const ticking = setInterval(batches.tick, 1000);
  void details.open();
  stop = () => {
    unfollow();
    clearInterval(ticking);
    for (const one of polls) one.stop();
    details.close();
    byId("new-task").removeEventListener("click", onNewTask);
    byId("new-batch").removeEventListener("click", onNewBatch);
  };
}

let wasDown = false;
let bannerTimer;

function showStream(state, catchUp) {
  const banner = byId("banner");
  if (state === "stopped") return logOut("The API key is not valid any more");
  setText(byId("stream"), state === "live" ? "Live" : "Not live");
  clearTimeout(bannerTimer);
  if (state === "down") {
    wasDown = true;
    banner.className = "banner";
    setText(
      banner,
      "The connection to the server is down. What is shown may be old; trying again.",
    );
    show(banner, true);
  } else if (wasDown) {
    wasDown = false;
    banner.className = "banner good";
    setText(banner, "Connected again; nothing was missed.");
    bannerTimer = setTimeout(() => show(banner, false), 5000);
    catchUp();
  }
}

function drawPeriods(choose) {
  const buttons = ["hour", "day", "week", "month"].map((name) => {
    const button = el("button", { type: "button", "aria-pressed": String(name === "hour") }, name);
    button.addEventListener("click", () => {
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      choose(name);
    });
    return button;
  });
  byId("period").replaceChildren(...buttons);
}

/** Offers only what the key may do, and nothing before its scopes are known. */
function showRights() {
  for (const node of document.querySelectorAll("[data-needs=write]"))
    show(node, session.canWrite());
}

function showLogin(message) {
  show(byId("monitor"), false);
  show(byId("login"), true);
  const error = document.querySelector("#login .error");
  setText(error, message ?? "");
  show(error, Boolean(message));
  byId("key").focus();
}

function endsSession({ status, isOfOtherKey }) {
  return status === 401 && !isOfOtherKey;
}

function logOut(message) {
  stop?.();
  stop = undefined;
  session.key = "";
  showLogin(message);
}

document.querySelector("#login form").addEventListener("submit", async (event) => {
  event.preventDefault();
  session.key = byId("key").value.trim();
  try {
    session.scopes = (await get("/status")).caller.scopes;
    byId("key").value = "";
    start();
  } catch (error) {
    session.key = "";
    showLogin(error.message);
  }
});
byId("logout").addEventListener("click", () => logOut());

if (session.key) start();
else showLogin();
