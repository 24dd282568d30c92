import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";

type Base = { label: string; hint?: ComponentChildren; error?: string | undefined };
type Given = Base & {
  children: (ids: { id: string; describedBy: string | undefined }) => JSX.Element;
};

/** A control with its label, what helps to fill it in, and what is wrong with it. */
export function Field({ label, hint, error, children }: Given) {
  const id = useId();
  const hintId = `${id}-hint`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, describedBy: hint || error ? hintId : undefined })}
      {(hint || error) && (
        <p id={hintId} class={error ? "hint error" : "hint"}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

type TextProps = Base & {
  value: string;
  onInput: (value: string) => void;
  type?: "text" | "password" | "number" | "url" | "datetime-local" | "search" | "time";
  placeholder?: string | undefined;
  isRequired?: boolean;
  rows?: number;
  list?: string;
};

export function TextField({
  value,
  onInput,
  type,
  placeholder,
  isRequired,
  rows,
  list,
  ...base
}: TextProps) {
  return (
    <Field {...base}>
      {({ id, describedBy }) => {
        const common = {
          id,
          value,
          placeholder,
          required: isRequired,
          dir: "auto" as const,
          spellcheck: rows !== undefined,
          "aria-describedby": describedBy,
          onInput: (event: { currentTarget: { value: string } }) =>
            onInput(event.currentTarget.value),
        };
        return rows === undefined ? (
          // Preact's types have a union for each type of input; which one it is is not known here.
          <input
            {...({ ...common, type: type ?? "text", list } as JSX.IntrinsicElements["input"])}
            autocomplete="off"
            min="0"
            step="any"
          />
        ) : (
          <textarea rows={rows} {...common} />
        );
      }}
    </Field>
  );
}

type SelectProps = Base & {
  value: string;
  options: readonly (string | readonly [value: string, name: string])[];
  onInput: (value: string) => void;
};

export function SelectField({ value, options, onInput, ...base }: SelectProps) {
  return (
    <Field {...base}>
      {({ id, describedBy }) => (
        <select
          id={id}
          value={value}
          aria-describedby={describedBy}
          onChange={(event) => onInput(event.currentTarget.value)}
        >
          {options.map((option) => {
            const [given, name] = typeof option === "string" ? [option, option] : option;
            return (
              <option key={given} value={given}>
                {name}
              </option>
            );
          })}
        </select>
      )}
    </Field>
  );
}

type CheckProps = {
  label: ComponentChildren;
  checked: boolean;
  onInput: (checked: boolean) => void;
};

export function CheckField({ label, checked, onInput }: CheckProps) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={checked}
        onChange={(event) => onInput(event.currentTarget.checked)}
      />
      {label}
    </label>
  );
}
