import type { Model } from "../api/wire.ts";
import { count } from "../ui/format.ts";
import { num, Table } from "../ui/table.tsx";

/** How many models are shown; the others are found by searching. */
const MOST_SHOWN = 200;

export function ModelTable({ all }: { all: Model[] }) {
  return (
    <>
      <Table
        label="Models"
        isStacked
        columns={[
          { name: "Model", class: "name" },
          { name: "Provider" },
          num("Context"),
          num("Input, per million"),
          num("Output, per million"),
          { name: "Price of" },
        ]}
        rows={all.slice(0, MOST_SHOWN).map((model) => ({
          key: `${model.provider} ${model.id}`,
          cells: [
            <>
              {model.id}
              {!model.isListed && <div class="hint">not listed by the provider itself</div>}
            </>,
            model.provider,
            model.contextSize === null ? "" : count(model.contextSize),
            ...pricesOf(model),
          ],
        }))}
      />
      {all.length > MOST_SHOWN && (
        <p class="hint">and {count(all.length - MOST_SHOWN)} more: write a part of their name</p>
      )}
    </>
  );
}

function pricesOf({ price: known }: Model) {
  if (!known) return [<span class="quiet">no price known</span>, "", ""];
  const { input, cachedInput, output, steps, date, source } = known;
  return [
    <div>
      {dollars(input)}
      {cachedInput !== undefined && <div class="hint">{dollars(cachedInput)} cached</div>}
      {steps?.map((step) => (
        <div key={step.above} class="hint">
          {dollars(step.input)} above {count(step.above)} tokens
        </div>
      ))}
    </div>,
    dollars(output),
    <span title={source}>{date ?? "your configuration"}</span>,
  ];
}

/** Prices may have fractions of a cent, which must not be rounded away. */
const price = new Intl.NumberFormat("en", {
  style: "currency",
  currency: "USD",
  maximumFractionDigits: 6,
});
const dollars = (usd: number): string => price.format(usd);
