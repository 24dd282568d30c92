import type { Service } from "../api/wire.ts";
import { Action } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { duration } from "../ui/format.ts";
import { Card, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";

type Probe = {
  provider: string;
  isSimulator: boolean;
  responseTime: number;
  lastStatus: number | null;
  lastError: string | null;
  lastCheck: string;
};

/** Whether each provider answers when it is asked for its models. */
export function Probes() {
  const service = useResource<Service>("/status/services/openai");
  return (
    <Card
      id="probes"
      title="Provider health"
      note={
        <Action
          run={service.refresh}
          label="Check again whether the providers answer"
          title="An answer is kept for 30 seconds"
        >
          Check again
        </Action>
      }
    >
      <Shown of={service}>
        {({ reasons, details }) => (
          <>
            {reasons.map((reason) => (
              <p key={reason} class="error">
                {reason}
              </p>
            ))}
            <Table
              label="Answers of the providers"
              columns={[{ name: "Provider", class: "wrap" }, num("Took"), num("Checked")]}
              rows={probesOf(details).map((one) => ({
                key: one.provider,
                cells: [
                  <>
                    <Badge status={one.lastError === null ? "healthy" : "failed"}>
                      {one.lastError === null ? "answers" : "does not answer"}
                    </Badge>{" "}
                    <strong>{one.isSimulator ? "Built-in simulator" : one.provider}</strong>
                    {one.lastError !== null && <div class="hint error">{one.lastError}</div>}
                  </>,
                  duration(one.responseTime),
                  <Ago at={one.lastCheck} />,
                ],
              }))}
            />
          </>
        )}
      </Shown>
    </Card>
  );
}

/** The document leaves the details of a service open; those of this one are as `Probe` has them. */
function probesOf(details: Service["details"]): Probe[] {
  return Array.isArray(details["providers"]) ? (details["providers"] as Probe[]) : [];
}
