import type { Key } from "../api/wire.ts";
import { keys, usage } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { count, money } from "../ui/format.ts";
import { Card, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Facts, num, Table } from "../ui/table.tsx";
import { Ago, Time } from "../ui/time.tsx";
import { KeyActions, pathOf, State } from "./actions.tsx";
import { Budget } from "./budget.tsx";

/** A key: its scopes and limits, and the usage of its tasks. */
export function KeyView({ id }: { id: string }) {
  const found = useResource<Key>(
    pathOf(id),
    `${keys.value?.revision} ${JSON.stringify(usage.value)}`,
  );
  return (
    <Card
      id="key"
      title={found.data?.name ?? "API key"}
      note={
        found.data && (
          <div class="actions">
            <State of={found.data} />
            <KeyActions of={found.data} refresh={found.refresh} />
          </div>
        )
      }
    >
      <Shown of={found}>{(one) => <About of={one} />}</Shown>
    </Card>
  );
}

function About({ of: one }: { of: Key }) {
  const { month, total } = one.usage;
  const limit = one.rateLimitPerMinute;
  const row = (key: string, used: typeof month) => ({
    key,
    cells: [
      key,
      count(used.tasks),
      count(used.promptTokens),
      count(used.completionTokens),
      money(used.costUsd),
    ],
  });
  return (
    <>
      <Facts
        pairs={[
          ["May", one.scopes.join(", ")],
          ["Begins with", one.prefix && `${one.prefix}…`],
          ["Created by", one.origin],
          ["Requests", limit === 0 ? "no limit" : limit && `${count(limit)} a minute`],
          ["Budget", one.monthlyBudgetUsd !== null && <Budget of={one} />],
          ["Last used", <Ago at={one.lastUsedAt} none="never" />],
          ["Expires", one.expiresAt ? <Time at={one.expiresAt} /> : "never"],
          ["Created", <Time at={one.createdAt} />],
          ["Revoked", one.revokedAt && <Time at={one.revokedAt} />],
          ["Old secret", one.previousKeyExpiresAt && <Ago at={one.previousKeyExpiresAt} />],
          ["Id", one.id],
        ]}
      />
      <h3>Usage</h3>
      <Table
        label="Usage"
        columns={[
          { name: "When" },
          num("Runs of tasks"),
          num("Tokens in"),
          num("Tokens out"),
          num("Cost"),
        ]}
        rows={[row("This month (UTC)", month), row("Total", total)]}
      />
      <p class="actions">
        <a href={href(["audit"], { keyId: one.id })}>Its entries in the audit log</a>
      </p>
    </>
  );
}
