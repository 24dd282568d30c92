import type { Key } from "../api/wire.ts";
import { money } from "../ui/format.ts";
import { Meter } from "../ui/meter.tsx";

/** The cost of a key in this month, in relation to its budget. */
export function Budget({ of: { name, usage, monthlyBudgetUsd } }: { of: Key }) {
  const spent = usage.month.costUsd;
  if (monthlyBudgetUsd === null) return <>{money(spent)}</>;
  const text = `${money(spent)} of ${money(monthlyBudgetUsd)}`;
  return (
    <div>
      {text}
      <Meter
        value={spent}
        most={monthlyBudgetUsd}
        isLimit
        label={`Budget of ${name}`}
        text={text}
      />
    </div>
  );
}
