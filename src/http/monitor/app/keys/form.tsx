import { useState } from "preact/hooks";

import type { ApiKey } from "../api/wire.ts";
import { SelectField, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";

const MAY = [
  ["read", "read"],
  ["write", "read and write"],
  ["admin", "everything, keys included"],
] as const;

type Props = {
  first?: ApiKey;
  submitName: string;
  submit: (fields: object) => Promise<void>;
  onCancel: () => void;
};

export function KeyForm({ first, submitName, submit, onCancel }: Props) {
  const [name, setName] = useState(first?.name ?? "");
  const [most, setMost] = useState<string>(first?.scopes.at(-1) ?? "write");
  const [budget, setBudget] = useState(first?.monthlyBudgetUsd?.toString() ?? "");
  const [limit, setLimit] = useState(first?.rateLimitPerMinute?.toString() ?? "");
  const [expires, setExpires] = useState(first?.expiresAt ? localOf(first.expiresAt) : "");
  const number = (text: string) => (text.trim() === "" ? null : Number(text));
  return (
    <Form
      submitName={submitName}
      onCancel={onCancel}
      submit={() =>
        submit({
          name,
          scopes:
            most === "admin"
              ? ["read", "write", "admin"]
              : most === "write"
                ? ["read", "write"]
                : ["read"],
          monthlyBudgetUsd: number(budget),
          rateLimitPerMinute: number(limit),
          expiresAt: expires === "" ? null : new Date(expires).toISOString(),
        })
      }
    >
      <TextField label="Name" value={name} onInput={setName} isRequired />
      <SelectField label="May" value={most} options={MAY} onInput={setMost} />
      <div class="two">
        <TextField
          label="Budget a month, in USD"
          type="number"
          value={budget}
          onInput={setBudget}
          placeholder="none"
        />
        <TextField
          label="Requests a minute"
          type="number"
          value={limit}
          onInput={setLimit}
          placeholder="as the server has it"
        />
      </div>
      <TextField
        label="Ends (your time zone)"
        type="datetime-local"
        value={expires}
        onInput={setExpires}
      />
    </Form>
  );
}

/** A time as a control of the browser has it, in the reader's time zone. */
function localOf(iso: string): string {
  const at = new Date(iso);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
