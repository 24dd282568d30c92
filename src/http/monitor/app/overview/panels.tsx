import type { ComponentChildren } from "preact";

import { calls, models, nodes, now, schedules, tasks } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { count, duration, money, plural } from "../ui/format.ts";
import { Card, Empty, Loading } from "../ui/panel.tsx";
import { num, Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";

/** Lists the members of a part of the live state, or says that there are none. */
function Members<T>(props: {
  of: Record<string, T> | undefined;
  none: string;
  children: (members: [string, T][]) => ComponentChildren;
}) {
  if (!props.of) return <Loading />;
  const members = Object.entries(props.of);
  return members.length === 0 ? <Empty>{props.none}</Empty> : <>{props.children(members)}</>;
}

export function Flight() {
  const running = tasks.value?.running ?? 0;
  return (
    <Card id="flight" title="In flight">
      <Members of={calls.value} none="No calls are in progress.">
        {(all) => (
          <>
            <Table
              columns={[
                { name: "Task", class: "cut" },
                { name: "Model" },
                num("Attempt"),
                num("For"),
              ]}
              rows={all
                .toSorted(([, a], [, b]) => ((a.startedAt ?? "") < (b.startedAt ?? "") ? -1 : 1))
                .map(([id, { model, attempt, startedAt }]) => ({
                  key: id,
                  cells: [
                    <a href={href(["tasks", id])}>{id}</a>,
                    model,
                    String(Math.max(1, attempt)),
                    startedAt
                      ? duration(Math.max(0, (now.value - Date.parse(startedAt)) / 1000))
                      : "–",
                  ],
                }))}
            />
            {running > all.length && <p class="hint">and {count(running - all.length)} more</p>}
          </>
        )}
      </Members>
    </Card>
  );
}

export function Models() {
  return (
    <Card id="by-model" title="By model, last 24 hours">
      <Members of={models.value} none="No task ended in the last 24 hours.">
        {(all) => (
          <Table
            columns={[
              { name: "Model", class: "cut" },
              num("Done"),
              num("Failed"),
              num("Tokens"),
              num("Cost"),
            ]}
            rows={all
              .toSorted(([, a], [, b]) => b.completed + b.failed - a.completed - a.failed)
              .map(([model, one]) => ({
                key: model,
                cells: [
                  model,
                  count(one.completed),
                  count(one.failed),
                  count(one.tokens),
                  money(one.costUsd),
                ],
              }))}
          />
        )}
      </Members>
    </Card>
  );
}

export function Upcoming() {
  const part = schedules.value;
  return (
    <Card
      id="upcoming"
      title="Schedules"
      note={<a href="#/schedules">{part ? `all ${plural(part.total, "schedule")}` : "all"}</a>}
    >
      <Members of={part?.due} none="Nothing is due.">
        {(all) => (
          <Table
            columns={[{ name: "Schedule", class: "cut" }, { name: "Last run" }, num("Next run")]}
            rows={all
              .toSorted(([, a], [, b]) => (a.nextRun < b.nextRun ? -1 : 1))
              .map(([id, { name, nextRun, lastRunStatus }]) => ({
                key: id,
                cells: [
                  <a href={href(["schedules", id])}>{name}</a>,
                  lastRunStatus ? (
                    <Badge status={lastRunStatus} />
                  ) : (
                    <span class="quiet">never</span>
                  ),
                  <Ago at={nextRun} />,
                ],
              }))}
          />
        )}
      </Members>
    </Card>
  );
}

export function Nodes() {
  return (
    <Card id="nodes" title="Nodes">
      <Members of={nodes.value} none="No process runs tasks.">
        {(all) => (
          <Table
            columns={[{ name: "Node" }, num("Running"), num("Heartbeat"), num("Up since")]}
            rows={all.map(([id, node]) => ({
              key: id,
              cells: [
                `#${id}${node.runsTasks ? "" : " (answers only)"}`,
                count(node.running),
                <Ago at={node.heartbeatAt} />,
                <Ago at={node.startedAt} />,
              ],
            }))}
          />
        )}
      </Members>
    </Card>
  );
}
