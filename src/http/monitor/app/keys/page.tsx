import { useState } from "preact/hooks";

import { call, may, post } from "../api/client.ts";
import type { ApiKey, Page } from "../api/wire.ts";
import { status } from "../shell/status.ts";
import { Action } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { CheckField } from "../ui/field.tsx";
import { count, money } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Secret } from "../ui/secret.tsx";
import { num, Table } from "../ui/table.tsx";
import { Ago, Time } from "../ui/time.tsx";
import { toast } from "../ui/toast.tsx";
import { KeyForm } from "./form.tsx";

type Open = { kind: "new" } | { kind: "change"; key: ApiKey } | { kind: "secret"; value: string };

/** API keys: make, limit, watch what they use, rotate, revoke. */
export function Keys() {
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState<Open>();
  const cursor = useCursor();
  const list = useResource<Page<"keys", ApiKey>>(
    `/api-keys?limit=25&includeRevoked=${all}${cursor.query}`,
  );
  if (!may("admin")) return <Empty>This needs a key with the scope admin.</Empty>;
  const close = () => setOpen(undefined);
  const told = (value: string) => {
    setOpen({ kind: "secret", value });
    list.refresh();
  };
  return (
    <Card
      id="keys"
      title="API keys"
      isWide
      note={
        <div class="actions">
          <CheckField label="Revoked ones, too" checked={all} onInput={setAll} />
          <button type="button" class="small primary" onClick={() => setOpen({ kind: "new" })}>
            New key
          </button>
        </div>
      }
    >
      <Shown of={list}>
        {({ keys, pagination }) => (
          <>
            <Table
              columns={[
                { name: "Key", class: "name" },
                { name: "May" },
                num("This month"),
                num("Budget"),
                num("Requests a minute"),
                { name: "Used" },
                { name: "Ends" },
                { name: "Actions", hidden: true },
              ]}
              rows={keys.map((key) => ({
                key: key.id,
                cells: [
                  <>
                    <span dir="auto">{key.name}</span>{" "}
                    {key.id === status.value?.caller.keyId && <span class="quiet">(this one)</span>}
                    {key.prefix && <div class="hint">{key.prefix}…</div>}
                  </>,
                  key.scopes.join(", "),
                  <>
                    {money(key.usage.month.costUsd)}
                    <div class="hint">{count(key.usage.month.tasks)} tasks</div>
                  </>,
                  key.monthlyBudgetUsd === null ? "–" : money(key.monthlyBudgetUsd),
                  key.rateLimitPerMinute === null ? "–" : count(key.rateLimitPerMinute),
                  <Ago at={key.lastUsedAt} none="never" />,
                  key.revokedAt ? (
                    <Badge status="disabled">revoked</Badge>
                  ) : (
                    <Time at={key.expiresAt} none="never" />
                  ),
                  <div class="buttons">
                    {!key.revokedAt && (
                      <KeyActions
                        of={key}
                        change={() => setOpen({ kind: "change", key })}
                        told={told}
                        refresh={list.refresh}
                      />
                    )}
                  </div>,
                ],
              }))}
            />
            <Pager cursor={cursor} of={pagination} />
          </>
        )}
      </Shown>
      {open?.kind === "new" && (
        <Dialog title="New key" onClose={close}>
          <KeyForm
            submitName="Create the key"
            onCancel={close}
            submit={async (fields) => told((await post<{ key: string }>("/api-keys", fields)).key)}
          />
        </Dialog>
      )}
      {open?.kind === "change" && (
        <Dialog title={`Change ${open.key.name}`} onClose={close}>
          <KeyForm
            first={open.key}
            submitName="Save"
            onCancel={close}
            submit={async (fields) => {
              await call("PATCH", `/api-keys/${encodeURIComponent(open.key.id)}`, fields);
              close();
              list.refresh();
            }}
          />
        </Dialog>
      )}
      {open?.kind === "secret" && (
        <Dialog title="The key" onClose={close}>
          <Secret what="The key" value={open.value} close={close} />
        </Dialog>
      )}
    </Card>
  );
}

type ActionsProps = {
  of: ApiKey;
  change: () => void;
  told: (secret: string) => void;
  refresh: () => void;
};

function KeyActions({ of: { id, name, origin }, change, told, refresh }: ActionsProps) {
  const path = `/api-keys/${encodeURIComponent(id)}`;
  if (origin === "environment") return <span class="quiet">of API_KEYS</span>;
  return (
    <>
      <Action label={`Change ${name}`} run={change}>
        Change
      </Action>
      <Action
        label={`Rotate ${name}`}
        sure="Really a new one?"
        run={async () => told((await post<{ key: string }>(`${path}/rotate`)).key)}
      >
        Rotate
      </Action>
      <Action
        label={`Revoke ${name}`}
        sure="Really?"
        run={async () => {
          await call("DELETE", path);
          toast(`${name} is revoked`);
          refresh();
        }}
      >
        Revoke
      </Action>
    </>
  );
}
