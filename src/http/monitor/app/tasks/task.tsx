import { useEffect, useRef } from "preact/hooks";

import { may, post } from "../api/client.ts";
import type { Executions, Task } from "../api/wire.ts";
import { calls, ends } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { count, money } from "../ui/format.ts";
import { Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Facts } from "../ui/table.tsx";
import { toast } from "../ui/toast.tsx";
import { EditTask } from "./edit.tsx";
import { Timeline } from "./timeline.tsx";

type Props = {
  id: string;
  /** Called when the task has changed since it was opened. */
  changed?: () => void;
};

/** A task: its request, its answer, and its timeline. */
export function TaskView({ id, changed }: Props) {
  const path = `/tasks/${encodeURIComponent(id)}`;
  const task = useTask(path, id);
  const at = task.data?.updatedAt;
  const before = useRef(at);
  useEffect(() => {
    if (before.current !== undefined && at !== before.current) changed?.();
    before.current = at;
  }, [at]);
  const executions = useResource<Executions>(`${path}/executions`, task.data?.updatedAt);
  return (
    <Shown of={task}>
      {(data) => (
        <>
          <TaskActions task={data} refresh={task.refresh} />
          <Facts pairs={factsOf(data)} />
          {data.error && (
            <>
              <h3>Error</h3>
              <pre class="error">{`${data.error.code}: ${data.error.message}`}</pre>
            </>
          )}
          {data.result && (
            <>
              <h3>Answer</h3>
              <pre dir="auto">
                {data.result.content ?? JSON.stringify(data.result.raw ?? data.result, null, 2)}
              </pre>
            </>
          )}
          <h3>Request</h3>
          {data.messages?.map((message, i) => (
            // The role is not in the text, whose own first letter gives its direction.
            <div key={i}>
              <p class="hint">{String(message["role"])}</p>
              <pre dir="auto">{textOf(message["content"])}</pre>
            </div>
          )) ?? <pre dir="auto">{data.prompt ?? ""}</pre>}
          <h3>Timeline</h3>
          <Shown of={executions}>
            {({ executions: all }) => <Timeline task={data} executions={all} />}
          </Shown>
        </>
      )}
    </Shown>
  );
}

/** The task, fetched again while it has not ended and events may concern it. */
function useTask(path: string, id: string) {
  const isCalled = Object.hasOwn(calls.value ?? {}, id);
  return useResource<Task>(path, `${ends.value} ${isCalled}`);
}

const isOpen = ({ status }: Task) => status === "pending" || status === "running";

function TaskActions({ task, refresh }: { task: Task; refresh: () => void }) {
  const path = `/tasks/${encodeURIComponent(task.id)}`;
  const does = (verb: string, reported: string) => async () => {
    await post(`${path}/${verb}`);
    toast(`${task.id}: ${reported}`);
    refresh();
  };
  const isQueued =
    task.status === "running" || (task.status === "pending" && task.queuedAt !== null);
  return (
    <div class="actions">
      <Badge status={task.status} />
      {task.reason && <span class="quiet">{task.reason}</span>}
      <span class="spring" />
      {may("write") && !isQueued && (
        <Action run={does("execute", "execute")}>
          {isOpen(task) ? "Execute" : "Execute again"}
        </Action>
      )}
      {may("write") && isOpen(task) && <Action run={does("cancel", "cancelled")}>Cancel</Action>}
      {may("write") && !isQueued && <EditTask task={task} done={refresh} />}
    </div>
  );
}

function factsOf(t: Task): [string, preact.ComponentChildren][] {
  const { result } = t;
  return [
    ["Id", t.id],
    ["Batch", t.batchId && <a href={href(["batches", t.batchId])}>{t.batchId}</a>],
    [
      "Model",
      result?.model && result.model !== t.model
        ? `${t.model} (answered by ${result.model})`
        : t.model,
    ],
    ["Provider", t.provider],
    ["Priority", t.priority],
    ["Temperature", t.temperature === null ? "" : String(t.temperature)],
    ["Max tokens", t.maxTokens === null ? "" : count(t.maxTokens)],
    ["Parameters", jsonOf(t.parameters)],
    ["Metadata", jsonOf(t.metadata)],
    ["Attempts", String(t.attempts)],
    [
      "Tokens",
      result?.usage &&
        `${count(result.usage.promptTokens ?? 0)} in, ${count(result.usage.completionTokens ?? 0)} out`,
    ],
    ["Cost", result && money(result.costUsd)],
    ["Finish reason", result?.finishReason],
    ["Reused", result?.cached && "the answer to an identical request"],
  ];
}

function jsonOf(value: object | null): string {
  return value && Object.keys(value).length > 0 ? JSON.stringify(value) : "";
}

function textOf(content: unknown): string {
  return typeof content === "string" ? content : JSON.stringify(content, null, 2);
}
