import { useState } from "preact/hooks";

import type { Model } from "../api/wire.ts";
import { Providers } from "../overview/providers.tsx";
import { status } from "../shell/status.ts";
import { TextField } from "../ui/field.tsx";
import { count, money } from "../ui/format.ts";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";

const MOST_SHOWN = 200;

/** The providers as they are now, and the models that are known, with their prices. */
export function Models() {
  const [text, setText] = useState("");
  const list = useResource<{ models: Model[]; priceList: { source: string; date: string } }>(
    "/models",
  );
  return (
    <>
      <Providers />
      <Card
        id="models"
        title="Models"
        isWide
        note={list.data && <span class="quiet">prices of {list.data.priceList.date}</span>}
      >
        <div class="filters">
          <TextField label="Name contains" type="search" value={text} onInput={setText} />
        </div>
        <Shown of={list}>{({ models }) => <ModelTable models={models} text={text} />}</Shown>
      </Card>
    </>
  );
}

function ModelTable({ models, text }: { models: Model[]; text: string }) {
  const found = models.filter(({ id }) => id.toLowerCase().includes(text.trim().toLowerCase()));
  if (found.length === 0) return <Empty>No model is known{text ? " by such a name" : ""}.</Empty>;
  return (
    <>
      <Table
        columns={[
          { name: "Model", class: "name" },
          { name: "Provider" },
          num("Context"),
          num("In, per million"),
          num("Cached"),
          num("Out, per million"),
        ]}
        rows={found.slice(0, MOST_SHOWN).map((model) => ({
          key: `${model.provider} ${model.id}`,
          cells: [
            <>
              {model.id}{" "}
              {model.id === status.value?.provider.defaultModel && (
                <span class="quiet">(the default)</span>
              )}
            </>,
            model.provider,
            model.contextSize === null ? "–" : count(model.contextSize),
            money(model.price?.input),
            money(model.price?.cachedInput),
            money(model.price?.output),
          ],
        }))}
      />
      {found.length > MOST_SHOWN && <p class="hint">and {count(found.length - MOST_SHOWN)} more</p>}
    </>
  );
}
