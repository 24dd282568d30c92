import { SelectField, TextField } from "../ui/field.tsx";
import { change, draft, type Draft } from "./draft.ts";

const KINDS = [
  ["text", "a text"],
  ["columns", "columns"],
  ["schema", "a JSON Schema"],
] as const;

/** The form of answers: a text, or an object with a result column for each member. */
export function Answers({ problem }: { problem: string }) {
  const { answerKind, answerColumns, answerSchema } = draft.value;
  return (
    <>
      <SelectField
        label="Each answer is"
        value={answerKind}
        options={KINDS}
        onInput={(kind) => change({ answerKind: kind as Draft["answerKind"] })}
      />
      {answerKind === "columns" && (
        <div role="group" aria-label="Answer columns" class="stack">
          {answerColumns.map((column, i) => (
            <div key={i} class="two">
              <TextField
                label={`Column ${i + 1}`}
                value={column.name}
                placeholder="sentiment"
                onInput={(name) => edit(i, { ...column, name })}
              />
              <TextField
                label={`Meaning of column ${i + 1} (optional)`}
                value={column.meaning}
                placeholder="positive, neutral or negative"
                onInput={(meaning) => edit(i, { ...column, meaning })}
              />
            </div>
          ))}
        </div>
      )}
      {answerKind === "schema" && (
        <TextField
          label="JSON Schema of an object"
          value={answerSchema}
          rows={6}
          error={problem || undefined}
          onInput={(text) => change({ answerSchema: text })}
        />
      )}
    </>
  );
}

/** There is always an empty column at the end for input. */
function edit(i: number, column: Draft["answerColumns"][number]): void {
  const all = draft.value.answerColumns.map((one, j) => (i === j ? column : one));
  const filled = all.filter(({ name, meaning }, j) => name || meaning || j === i);
  const last = filled.at(-1);
  change({
    answerColumns: !last || last.name !== "" ? [...filled, { name: "", meaning: "" }] : filled,
  });
}
