import type { Models as Known } from "../api/wire.ts";
import { Providers } from "../overview/providers.tsx";
import { replaceQuery, route } from "../shell/router.ts";
import { SelectField, TextField } from "../ui/field.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { ModelTable } from "./models.tsx";
import { Probes } from "./probes.tsx";

/** The models that can be named, with their prices, and who answers. */
export function Models() {
  const { query } = route.value;
  const [provider, name] = [query.get("provider") ?? "", query.get("name") ?? ""];
  const known = useResource<Known>("/models");
  return (
    <>
      <div class="columns">
        <Providers />
        <Probes />
      </div>
      <Card
        id="models"
        title="Models"
        isWide
        note={
          known.data && (
            <span class="quiet">
              built-in prices of {known.data.priceList.date} ({known.data.priceList.source})
            </span>
          )
        }
      >
        <Shown of={known}>
          {({ models }) => {
            const wanted = models.filter(
              (one) =>
                (provider === "" || one.provider === provider) &&
                one.id.toLowerCase().includes(name.toLowerCase()),
            );
            return (
              <>
                <div class="filters">
                  <TextField
                    label="Name contains"
                    value={name}
                    onInput={(value) => replaceQuery({ name: value })}
                  />
                  <SelectField
                    label="Provider"
                    value={provider}
                    onInput={(value) => replaceQuery({ provider: value })}
                    options={[["", "any"], ...new Set(models.map((one) => one.provider))]}
                  />
                </div>
                {wanted.length === 0 ? (
                  <Empty>
                    {models.length === 0
                      ? "No model is known. You can name any model that a provider accepts."
                      : "No model matches."}
                  </Empty>
                ) : (
                  <ModelTable all={wanted} />
                )}
              </>
            );
          }}
        </Shown>
      </Card>
    </>
  );
}
