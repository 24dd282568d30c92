import { CheckField, TextField } from "../ui/field.tsx";
import { change, draft } from "./draft.ts";

/** Settings with sensible defaults. */
export function Settings() {
  const current = draft.value;
  return (
    <details>
      <summary>Settings</summary>
      <div class="stack settings">
        <TextField
          label="Name of the run"
          value={current.name}
          placeholder={current.file?.name}
          onInput={(name) => change({ name })}
        />
        <div class="two">
          <TextField
            label="Temperature"
            type="number"
            value={current.temperature}
            placeholder="the model's default"
            onInput={(temperature) => change({ temperature })}
          />
          <TextField
            label="Longest answer, in tokens"
            type="number"
            value={current.maxTokens}
            placeholder="no limit"
            onInput={(maxTokens) => change({ maxTokens })}
          />
          <TextField
            label="Concurrent calls"
            type="number"
            value={current.maxConcurrency}
            placeholder="no limit"
            onInput={(maxConcurrency) => change({ maxConcurrency })}
          />
        </div>
        <CheckField
          label="Give identical requests one answer"
          checked={current.cache}
          onInput={(cache) => change({ cache })}
        />
        <CheckField
          label="Dry run: the simulator answers, at no cost"
          checked={current.isDryRun}
          onInput={(isDryRun) => change({ isDryRun })}
        />
      </div>
    </details>
  );
}
