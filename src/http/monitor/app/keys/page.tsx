import type { Key } from "../api/wire.ts";
import { route } from "../shell/router.ts";
import { Card, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { pathOf } from "./actions.tsx";
import { KeyForm } from "./form.tsx";
import { KeyView } from "./key.tsx";
import { KeyList } from "./list.tsx";

/** `#/keys`, `#/keys/new`, `#/keys/ID` and `#/keys/ID/edit`. */
export function Keys() {
  const [, id, verb] = route.value.parts;
  if (id === undefined) return <KeyList />;
  if (id === "new") return <KeyForm />;
  return verb === "edit" ? <ChangeKey key={id} id={id} /> : <KeyView key={id} id={id} />;
}

function ChangeKey({ id }: { id: string }) {
  const found = useResource<Key>(pathOf(id));
  return found.data ? (
    <KeyForm of={found.data} />
  ) : (
    <Card id="change" title="Change a key">
      <Shown of={found}>{() => null}</Shown>
    </Card>
  );
}
