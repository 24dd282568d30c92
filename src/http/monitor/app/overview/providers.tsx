import type { ComponentChildren } from "preact";

import type { LiveProvider } from "../api/wire.ts";
import { now, providers } from "../live/state.ts";
import { Badge } from "../ui/badge.tsx";
import { ago, count, duration } from "../ui/format.ts";
import { Card, Empty, Loading } from "../ui/panel.tsx";
import { num, Table } from "../ui/table.tsx";

type Pacer = NonNullable<LiveProvider["pacers"]>[number];

/** The providers, whether they get calls, and the rest of their limits. */
export function Providers() {
  const all = providers.value;
  return (
    <Card id="providers" title="Providers">
      {all ? (
        Object.entries(all).map(([name, one]) => <Provider key={name} name={name} one={one} />)
      ) : (
        <Loading />
      )}
    </Card>
  );
}

function Provider({ name, one }: { name: string; one: LiveProvider }) {
  const takes = one.models.join(", ");
  return (
    <div class="provider">
      <p>
        <Badge
          status={
            (one.keysOut ?? 0) > 0 || (one.breaker ?? "closed") !== "closed"
              ? "degraded"
              : "healthy"
          }
        />{" "}
        <strong>{one.isSimulator ? "Built-in simulator" : name}</strong>
        <span class="quiet">{takes === "*" ? "" : ` · ${takes}`}</span>
      </p>
      {troubles(one).map((text) => (
        <p key={text} class="error">
          {text}
        </p>
      ))}
      {!one.isSimulator && one.pacers && one.pacers.length > 0 ? (
        <Pacers one={one} pacers={one.pacers} />
      ) : (
        <Empty>{idle(one)}</Empty>
      )}
    </div>
  );
}

function troubles({ breaker, openUntil, keysOut = 0 }: LiveProvider): string[] {
  return [
    breaker === "open" &&
      `Paused because its calls failed; tried again ${openUntil && Date.parse(openUntil) > now.value ? ago(openUntil, now.value) : "with the next one"}.`,
    breaker === "half_open" && "One call is testing whether it has recovered.",
    keysOut > 0 && `${keysOut === 1 ? "A key is" : `${keysOut} keys are`} refused or used up.`,
  ].filter((text) => text !== false);
}

function idle({ pacers, isSimulator, inFlight = 0 }: LiveProvider): string {
  if (!pacers) return "This process makes no calls.";
  return isSimulator
    ? `${inFlight} calls in flight. The simulator has no limits.`
    : "Not called since the start.";
}

function Pacers({ one, pacers }: { one: LiveProvider; pacers: Pacer[] }) {
  const hasKeys = new Set(pacers.map(({ key }) => key)).size > 1;
  return (
    <>
      <Table
        columns={[{ name: "Model", class: "wrap" }, num("Requests left"), num("Tokens left")]}
        rows={pacers.map((pacer) => ({
          key: `${pacer.model} ${pacer.key} ${pacer.isFlex}`,
          cells: [
            <>
              {[pacer.model, pacer.isFlex ? "flex" : "", hasKeys ? `(key ${pacer.key + 1})` : ""]
                .filter(Boolean)
                .join(" ")}
              <div class="quiet">
                {count(pacer.inFlight)} in flight, next call {nextCall(pacer)}
              </div>
            </>,
            limit(pacer.requests),
            limit(pacer.tokens),
          ],
        }))}
      />
      {one.maxConcurrency !== undefined && (
        <div class="quiet">
          {one.inFlight ?? 0} of at most {one.maxConcurrency} calls in flight
        </div>
      )}
    </>
  );
}

const HINTS = {
  open: "",
  configured: "as configured",
  reported: "reported by answers",
  learned: "learned from refusals",
};

function limit({ source, perMinute, remaining }: Pacer["requests"]): ComponentChildren {
  if (perMinute === undefined) return <span class="quiet">limit unknown</span>;
  return (
    <>
      {count(remaining ?? 0)} of {count(perMinute)}/min
      <div class="quiet">{HINTS[source]}</div>
    </>
  );
}

function nextCall({ blockedUntil, wait }: Pacer): string {
  if (blockedUntil) return `${ago(blockedUntil, now.value)}, as the provider asked`;
  return wait >= 0.05 ? `in ${duration(wait)}` : "now";
}
