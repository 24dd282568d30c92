import type { Model } from "../api/wire.ts";
import { status } from "../shell/status.ts";
import { TextField } from "../ui/field.tsx";
import { money } from "../ui/format.ts";
import { useResource } from "../ui/resource.ts";
import { change, draft } from "./draft.ts";

/** The choice of the model among the known ones, with prices per million tokens; others can be typed. */
export function ModelChoice() {
  const models = useResource<{ models: Model[] }>("/models");
  const known = models.data?.models ?? [];
  const name = draft.value.model.trim() || status.value?.provider.defaultModel || "";
  const chosen = known.find(({ id }) => id === name);
  return (
    <>
      <TextField
        label="Model"
        list="known-models"
        value={draft.value.model}
        placeholder={status.value?.provider.defaultModel}
        onInput={(model) => change({ model })}
        hint={
          chosen
            ? `${chosen.provider}: ${priceOf(chosen)}`
            : known.length > 0
              ? "Its price is not known"
              : undefined
        }
      />
      <datalist id="known-models">
        {known.map((model) => (
          <option key={`${model.provider} ${model.id}`} value={model.id}>
            {priceOf(model)}
          </option>
        ))}
      </datalist>
    </>
  );
}

function priceOf({ price, contextSize }: Model): string {
  const context = contextSize === null ? "" : `, ${Math.round(contextSize / 1000)}k context`;
  if (!price) return `price not known${context}`;
  return `${money(price.input)} in, ${money(price.output)} out per million tokens${context}`;
}
