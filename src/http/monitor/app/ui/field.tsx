import { type ComponentChildren, createContext, type JSX } from "preact";
import { useContext, useId } from "preact/hooks";

/** The API's errors for the fields of a form, by name. */
export const FieldErrors = createContext<ReadonlyMap<string, string>>(new Map());

type Base = {
  label: string;
  /** The path of the field in the API's errors, which are then shown here. */
  name?: string | undefined;
  hint?: ComponentChildren;
  error?: string | undefined;
};
type Ids = { id: string; describedBy: string | undefined; isWrong: boolean };
type Given = Base & { children: (ids: Ids) => JSX.Element };

/** A control with its label, hint and error. */
export function Field({ label, name, hint, error: given, children }: Given) {
  const id = useId();
  const hintId = `${id}-hint`;
  const reported = useContext(FieldErrors).get(name ?? "");
  const error = given ?? reported;
  const describedBy = hint || error ? hintId : undefined;
  return (
    <div class="field" data-field={name}>
      <label for={id}>{label}</label>
      {children({ id, describedBy, isWrong: error !== undefined })}
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
      {({ id, describedBy, isWrong }) => {
        const common = {
          id,
          value,
          placeholder,
          required: isRequired,
          dir: "auto" as const,
          spellcheck: rows !== undefined,
          "aria-describedby": describedBy,
          "aria-invalid": isWrong || undefined,
          onInput: (event: { currentTarget: { value: string } }) =>
            onInput(event.currentTarget.value),
        };
        return rows === undefined ? (
          // Preact's types have a union for the types of input; the actual one is not known here.
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
      {({ id, describedBy, isWrong }) => (
        <select
          id={id}
          value={value}
          aria-describedby={describedBy}
          aria-invalid={isWrong || undefined}
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

type ChoicesProps<V extends string> = Omit<Base, "error"> & {
  /** The label of each option, by value. */
  options: Readonly<Record<V, string>>;
  chosen: readonly V[];
  onInput: (chosen: V[]) => void;
};

/** A choice of any number of options. */
export function Choices<V extends string>(props: ChoicesProps<V>) {
  const { label, name, hint, options, chosen, onInput } = props;
  const error = useContext(FieldErrors).get(name ?? "");
  // The object has exactly these keys.
  const values = Object.keys(options) as V[];
  const toggle = (value: V, isChosen: boolean) =>
    onInput(values.filter((one) => (one === value ? isChosen : chosen.includes(one))));
  return (
    <fieldset class="field" data-field={name} aria-invalid={error ? true : undefined} tabindex={-1}>
      <legend>{label}</legend>
      <div class="choices">
        {values.map((value) => (
          <CheckField
            key={value}
            label={
              <span>
                {value} <span class="quiet">{options[value]}</span>
              </span>
            }
            checked={chosen.includes(value)}
            onInput={(isChosen) => toggle(value, isChosen)}
          />
        ))}
      </div>
      {(hint || error) && <p class={error ? "hint error" : "hint"}>{error ?? hint}</p>}
    </fieldset>
  );
}

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
