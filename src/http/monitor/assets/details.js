// What stands behind a batch or a task, in a drawer. The address has it, so that it can be sent on.

import { get, post, session } from "./api.js";
import { buttonsOf, whyNot } from "./batches.js";
import { action, badge, byId, el, facts, table, toast } from "./dom.js";
import { count, duration, money, time } from "./format.js";
import { timeline } from "./timeline.js";

const PAGE = 25;

export function createDetails({ refresh }) {
  const drawer = byId("drawer");
  let shown;
  /** Where each page of the tasks up to the one that is shown begins. */
  let cursors = [""];
  let status = "";

  function close() {
    if (location.hash !== "") history.replaceState(null, "", location.pathname);
    shown = undefined;
    if (drawer.open) drawer.close();
  }

  drawer.addEventListener("close", close);
  drawer.addEventListener("click", (event) => {
    if (event.target === drawer) drawer.close();
  });

  async function open() {
    const [, kind, id] = /^#\/(batch|task)\/(.+)$/.exec(location.hash) ?? [];
    if (!kind || !session.key) {
      if (drawer.open) drawer.close();
      return;
    }
    const next = { kind, id: decodeURIComponent(id) };
    if (shown?.id !== next.id || shown.kind !== kind) {
      cursors = [""];
      status = "";
      frame(next.id, el("p", { class: "quiet" }, "Loading…"));
    }
    shown = next;
    if (!drawer.open) drawer.showModal();
    await update();
  }

  async function update() {
    const asked = shown;
    if (!asked) return;
    try {
      const content = asked.kind === "batch" ? await batch(asked.id) : await task(asked.id);
      if (shown === asked) frame(content.title, ...content.nodes);
    } catch (error) {
      if (shown === asked) frame(asked.id, el("p", { class: "error" }, error.message));
    }
  }

  function frame(title, ...nodes) {
    const top = drawer.scrollTop;
    const focused = drawer.contains(document.activeElement)
      ? document.activeElement.dataset.focus
      : undefined;
    const closing = el("button", { type: "button", "data-focus": "close" }, "Close");
    closing.addEventListener("click", () => drawer.close());
    drawer.replaceChildren(
      el(
        "header",
        null,
        el("h2", { id: "drawer-title" }, title),
        el("span", { class: "spring" }),
        closing,
      ),
      ...nodes,
    );
    drawer.scrollTop = top;
    if (focused) drawer.querySelector(`[data-focus="${focused}"]`)?.focus();
  }

  async function batch(id) {
    const of = status === "" ? "" : `&status=${status}`;
    const cursor = cursors.at(-1);
    const from = cursor === "" ? "" : `&cursor=${cursor}`;
    const b = await get(`/batches/${encodeURIComponent(id)}?limit=${PAGE}${from}${of}`);
    const { progress, usage, config } = b;
    return {
      title: b.name,
      nodes: [
        el(
          "div",
          { class: "actions" },
          badge(b.status),
          el("span", { class: "spring" }),
          ...buttonsOf(b, () => {
            void update();
            refresh();
          }),
        ),
        facts([
          ["Id", b.id],
          [
            "Tasks",
            `${count(progress.total)}: ${count(progress.completed)} completed, ${count(progress.failed)} failed, ${count(progress.cancelled)} cancelled, ${count(progress.running)} running, ${count(progress.pending)} pending`,
          ],
          [
            b.status === "paused" ? "Paused" : "Waits",
            b.status === "paused" || (b.status === "running" && !b.isDryRun) ? whyNot(b, 0) : "",
          ],
          ["Cost", `${money(b.costUsd)} for ${count(usage.totalTokens)} tokens`],
          ["Model", config.model],
          ["Calls at once", config.maxConcurrency && String(config.maxConcurrency)],
          ["Input", b.inputFile],
          [
            "Output",
            b.output
              ? `${b.outputFile} (${b.output.status}${b.output.error ? `: ${b.output.error}` : ""})`
              : b.outputFile,
          ],
          ["Created", time(b.createdAt)],
          ["Started", b.startedAt && time(b.startedAt)],
          [
            "Ended",
            b.completedAt &&
              `${time(b.completedAt)}, after ${duration((Date.parse(b.completedAt) - Date.parse(b.startedAt)) / 1000)}`,
          ],
          ["Dry run", b.isDryRun ? "yes: the simulator answers" : ""],
        ]),
        ...(config.promptTemplate
          ? [el("h3", null, "Prompt template"), el("pre", null, config.promptTemplate)]
          : []),
        el(
          "div",
          { class: "actions" },
          el("h3", null, "Tasks"),
          el("span", { class: "spring" }),
          filter(),
        ),
        table(
          [{ name: "Task", class: "name" }, { name: "Status" }, { name: "Answer", class: "cut" }],
          b.tasks.map((t) => [
            el("a", { href: `#/task/${encodeURIComponent(t.id)}` }, t.id),
            badge(t.status),
            t.error ? el("span", { class: "error" }, t.error.message) : (t.result ?? ""),
          ]),
        ),
        pager(b.pagination),
      ],
    };
  }

  /** Which of a batch's tasks are listed. */
  function filter() {
    const select = el(
      "select",
      { "aria-label": "Tasks shown", "data-focus": "filter", class: "small" },
      ["", "completed", "failed", "cancelled", "running", "pending"].map((name) =>
        el("option", { value: name, selected: name === status }, name || "all"),
      ),
    );
    select.addEventListener("change", () => {
      status = select.value;
      cursors = [""];
      void update();
    });
    return select;
  }

  function pager({ totalPages, nextCursor }) {
    const page = cursors.length;
    const go = (name, to, isPossible) => {
      const button = action(
        name,
        async () => {
          cursors = to;
          await update();
        },
        { "data-focus": name },
      );
      button.hidden = !isPossible;
      return button;
    };
    return el(
      "p",
      { class: "actions" },
      go("Earlier", cursors.slice(0, -1), page > 1),
      el("span", { class: "quiet" }, totalPages > 1 ? `page ${page} of ${totalPages}` : ""),
      go("Later", [...cursors, nextCursor], nextCursor !== null && page < totalPages),
    );
  }

  async function task(id) {
    const path = `/tasks/${encodeURIComponent(id)}`;
    const [t, { executions }] = await Promise.all([get(path), get(`${path}/executions`)]);
    const does = (name, verb) =>
      action(name, async () => {
        await post(`${path}/${verb}`);
        toast(`${id}: ${name.toLowerCase()}`);
        await update();
        refresh();
      });
    const isOpen = t.status === "pending" || t.status === "running";
    return {
      title: t.id,
      nodes: [
        el(
          "div",
          { class: "actions" },
          badge(t.status),
          el("span", { class: "spring" }),
          ...(session.canWrite()
            ? [
                t.status !== "running" && !t.queuedAt
                  ? does("Execute", "execute")
                  : isOpen
                    ? null
                    : does("Execute again", "execute"),
                isOpen ? does("Cancel", "cancel") : null,
              ]
            : []),
        ),
        facts([
          [
            "Batch",
            t.batchId && el("a", { href: `#/batch/${encodeURIComponent(t.batchId)}` }, t.batchId),
          ],
          [
            "Model",
            t.result?.model && t.result.model !== t.model
              ? `${t.model} (answered by ${t.result.model})`
              : t.model,
          ],
          ["Provider", t.provider],
          ["Priority", t.priority],
          ["Temperature", t.temperature],
          ["Most tokens", t.maxTokens],
          ["Parameters", jsonOf(t.parameters)],
          ["Metadata", jsonOf(t.metadata)],
          ["Attempts", String(t.attempts)],
          [
            "Tokens",
            t.result &&
              `${count(t.result.usage?.promptTokens ?? 0)} in, ${count(t.result.usage?.completionTokens ?? 0)} out`,
          ],
          ["Cost", t.result && money(t.result.costUsd)],
          ["Reused", t.result?.cached ? "the answer to an identical request" : null],
        ]),
        el("h3", null, "Request"),
        ...(t.messages ?? []).map((m) =>
          el(
            "pre",
            null,
            `${m.role}: ${typeof m.content === "string" ? m.content : JSON.stringify(m.content, null, 2)}`,
          ),
        ),
        ...(t.messages ? [] : [el("pre", null, t.prompt ?? "")]),
        ...(t.error
          ? [
              el("h3", null, "Error"),
              el("pre", { class: "error" }, `${t.error.code}: ${t.error.message}`),
            ]
          : []),
        ...(t.result
          ? [
              el("h3", null, "Answer"),
              el(
                "pre",
                null,
                t.result.content ?? JSON.stringify(t.result.raw ?? t.result, null, 2),
              ),
            ]
          : []),
        el("h3", null, "Timeline"),
        timeline(t, executions),
      ],
    };
  }

  addEventListener("hashchange", open);
  return { open, update, close };
}

const jsonOf = (value) =>
  value && Object.keys(value).length > 0 ? JSON.stringify(value) : undefined;
