import { useState } from "preact/hooks";

import { post, remove } from "../api/client.ts";
import type { Key, NewKey } from "../api/wire.ts";
import { now } from "../live/state.ts";
import { go, href } from "../shell/router.ts";
import { status } from "../shell/status.ts";
import { Badge } from "../ui/badge.tsx";
import { AskFirst } from "../ui/confirm.tsx";
import { SecretOnce } from "../ui/secret.tsx";
import { toast } from "../ui/toast.tsx";

export const pathOf = (id: string): string => `/api-keys/${encodeURIComponent(id)}`;

export function State({ of: { id, revokedAt, expiresAt } }: { of: Key }) {
  if (revokedAt) return <Badge status="cancelled">revoked</Badge>;
  if (expiresAt && Date.parse(expiresAt) <= now.value)
    return <Badge status="cancelled">expired</Badge>;
  return (
    <Badge status="active">{status.value?.caller.keyId === id ? "valid, yours" : "valid"}</Badge>
  );
}

/** The actions on a key that is not revoked. */
export function KeyActions({ of: one, refresh }: { of: Key; refresh: () => void }) {
  if (one.revokedAt) return null;
  return (
    <>
      <a class="button small" href={href(["keys", one.id, "edit"])}>
        Change
      </a>
      <Rotate of={one} refresh={refresh} />
      <AskFirst
        verb="Revoke"
        name={one.name}
        run={async () => {
          await remove(pathOf(one.id));
          toast(`${one.name} is revoked`);
          go("#/keys");
        }}
      >
        Its users lose access at once, and open streams and waiting requests end. This cannot be
        undone. Everything that was created with the key remains.
      </AskFirst>
    </>
  );
}

function Rotate({ of: { id, name }, refresh }: { of: Key; refresh: () => void }) {
  const [made, setMade] = useState<NewKey>();
  return (
    <>
      <AskFirst
        verb="Rotate"
        name={name}
        run={async () => {
          setMade(await post<NewKey>(`${pathOf(id)}/rotate`));
          refresh();
        }}
      >
        It gets a new secret; scopes, limits and usage stay. The old secret is valid for another
        day.
      </AskFirst>
      {made && (
        <SecretOnce
          title={`The new secret of ${name}`}
          label="API key"
          secret={made.key}
          onClose={() => setMade(undefined)}
        />
      )}
    </>
  );
}
