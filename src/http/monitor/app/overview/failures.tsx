import type { Failures as FailureList } from "../api/wire.ts";
import { failures as live } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { count } from "../ui/format.ts";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";

/** The causes of failures; fetched again when there are more failures. */
export function Failures() {
  const failures = useResource<FailureList>("/metrics/failures", live.value);
  return (
    <Card id="failures" title="Failures of the last day">
      <Shown of={failures}>
        {({ failures: groups }) =>
          groups.length === 0 ? (
            <Empty>Nothing failed.</Empty>
          ) : (
            <Table
              columns={[
                { name: "Cause", class: "cut" },
                { name: "Model" },
                num("Tasks"),
                { name: "Latest" },
              ]}
              rows={groups.map(({ code, message, model, count: n, taskId, at }) => ({
                key: `${code} ${model}`,
                cells: [
                  <span title={message}>
                    <div class="cut">{code || "unknown"}</div>
                    <div class="hint cut">{message}</div>
                  </span>,
                  model,
                  count(n),
                  <a href={href(["tasks", taskId])}>
                    <Ago at={at} />
                    <span class="unseen">: task {taskId}</span>
                  </a>,
                ],
              }))}
            />
          )
        }
      </Shown>
    </Card>
  );
}
