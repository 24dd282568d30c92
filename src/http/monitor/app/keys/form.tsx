import { useState } from "preact/hooks";

import type { Scope } from "../../../../domain/scope.ts";
import { patch, post } from "../api/client.ts";
import type { Key, NewKey } from "../api/wire.ts";
import { go, href } from "../shell/router.ts";
import { Choices, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { localTime } from "../ui/format.ts";
import { SecretOnce } from "../ui/secret.tsx";
import { toast } from "../ui/toast.tsx";
import { pathOf } from "./actions.tsx";

const SCOPES: Record<Scope, string> = {
  read: "reads everything except keys and the audit log",
  write: "creates, runs, changes and deletes, and reads",
  admin: "creates and revokes keys, reads the audit log, and does everything else",
};

/** Makes a key, which is shown once, or changes what one may do. */
export function KeyForm({ of: before }: { of?: Key }) {
  const [name, setName] = useState(before?.name ?? "");
  const [scopes, setScopes] = useState<Scope[]>(before?.scopes ?? ["read", "write"]);
  const [limit, setLimit] = useState(text(before?.rateLimitPerMinute));
  const [budget, setBudget] = useState(text(before?.monthlyBudgetUsd));
  const [expires, setExpires] = useState(
    before?.expiresAt ? localTime(new Date(before.expiresAt)) : "",
  );
  const [made, setMade] = useState<NewKey>();

  async function submit(): Promise<void> {
    const body = {
      name,
      scopes,
      rateLimitPerMinute: numberOf(limit),
      monthlyBudgetUsd: numberOf(budget),
      expiresAt: expires === "" ? null : new Date(expires).toISOString(),
    };
    if (!before) return setMade(await post<NewKey>("/api-keys", body));
    await patch(pathOf(before.id), body);
    toast(`${name} is changed`);
    go(href(["keys", before.id]));
  }

  return (
    <section class="card narrow" aria-labelledby="key-form">
      <header>
        <h2 id="key-form" dir="auto">
          {before ? `Change ${before.name}` : "New API key"}
        </h2>
      </header>
      <div class="panel">
        <Form
          submitName={before ? "Save" : "Create"}
          onCancel={() => go(href(before ? ["keys", before.id] : ["keys"]))}
          submit={submit}
        >
          <TextField label="Name" name="name" value={name} onInput={setName} isRequired />
          <Choices
            label="Scopes"
            name="scopes"
            options={SCOPES}
            chosen={scopes}
            onInput={setScopes}
          />
          <div class="two">
            <TextField
              label="Monthly budget (USD)"
              name="monthlyBudgetUsd"
              hint="For the runs that it starts; months are in UTC"
              type="number"
              value={budget}
              onInput={setBudget}
              placeholder="no limit"
            />
            <TextField
              label="Requests a minute"
              name="rateLimitPerMinute"
              hint="0: no limit"
              type="number"
              value={limit}
              onInput={setLimit}
              placeholder="the server's default"
            />
          </div>
          <TextField
            label="Expires (your time zone)"
            name="expiresAt"
            hint="Empty: never"
            type="datetime-local"
            value={expires}
            onInput={setExpires}
          />
        </Form>
      </div>
      {made && (
        <SecretOnce
          title={`${made.name} is created`}
          label="API key"
          secret={made.key}
          onClose={() => go(href(["keys", made.id]))}
        />
      )}
    </section>
  );
}

const text = (value: number | null | undefined) =>
  value === null || value === undefined ? "" : `${value}`;
const numberOf = (typed: string) => (typed.trim() === "" ? null : Number(typed));
