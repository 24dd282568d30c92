import type { Key, Page } from "../api/wire.ts";
import { keys as live, usage } from "../live/state.ts";
import { href, replaceQuery, route } from "../shell/router.ts";
import { CheckField } from "../ui/field.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";
import { State } from "./actions.tsx";
import { Budget } from "./budget.tsx";

export function KeyList() {
  const isAll = route.value.query.get("revoked") === "true";
  const cursor = useCursor();
  const list = useResource<Page<"keys", Key>>(
    `/api-keys?limit=25&includeRevoked=${isAll}${cursor.query}`,
    `${live.value?.revision} ${JSON.stringify(usage.value)}`,
  );
  return (
    <Card
      id="keys"
      title="API keys"
      isWide
      note={
        <a class="button small primary" href="#/keys/new">
          New key
        </a>
      }
    >
      <div class="filters">
        <CheckField
          label="Include revoked keys"
          checked={isAll}
          onInput={(checked) =>
            replaceQuery({
              revoked: checked ? "true" : undefined,
              cursor: undefined,
              page: undefined,
            })
          }
        />
      </div>
      <Shown of={list}>
        {({ keys, pagination }) =>
          keys.length === 0 ? (
            <Empty>No key yet.</Empty>
          ) : (
            <>
              <Table
                label="API keys"
                isStacked
                columns={[
                  { name: "Key", class: "name" },
                  { name: "State" },
                  { name: "Scopes" },
                  { name: "Last used" },
                  { name: "Expires" },
                  num("This month"),
                ]}
                rows={keys.map((one) => ({
                  key: one.id,
                  cells: [
                    <>
                      <a href={href(["keys", one.id])} dir="auto">
                        {one.name}
                      </a>
                      <div class="hint">{one.prefix ? `${one.prefix}…` : one.origin}</div>
                    </>,
                    <State of={one} />,
                    one.scopes.join(", "),
                    <Ago at={one.lastUsedAt} none="never" />,
                    <Ago at={one.expiresAt} none="never" />,
                    <Budget of={one} />,
                  ],
                }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}
