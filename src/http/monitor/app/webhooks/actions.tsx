import { useState } from "preact/hooks";

import { may, patch, post, remove } from "../api/client.ts";
import type { Delivery, NewWebhook, Webhook } from "../api/wire.ts";
import { go, href } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { AskFirst } from "../ui/confirm.tsx";
import { duration } from "../ui/format.ts";
import { SecretOnce } from "../ui/secret.tsx";
import { toast } from "../ui/toast.tsx";

export const pathOf = (id: string): string => `/webhooks/${encodeURIComponent(id)}`;

export function State({ of: { isActive, failingSince } }: { of: Webhook }) {
  if (!isActive) return <Badge status="disabled" />;
  return failingSince ? <Badge status="failing" /> : <Badge status="active" />;
}

type Props = { of: Webhook; refresh: () => void };

export function Test({ of: { id, url }, refresh }: Props) {
  if (!may("write")) return null;
  return (
    <Action
      label={`Send a test to ${url}`}
      run={async () => {
        const { status, responseStatus, latencyMs, error } = await post<Delivery>(
          `${pathOf(id)}/test`,
        );
        toast(
          status === "delivered"
            ? `It answered ${responseStatus} after ${duration((latencyMs ?? 0) / 1000)}`
            : `The test failed: ${error ?? "no answer"}`,
        );
        refresh();
      }}
    >
      Send a test
    </Action>
  );
}

export function Enable({ of: { id, isActive, url }, refresh }: Props) {
  if (!may("write")) return null;
  return (
    <Action
      label={`${isActive ? "Disable" : "Enable"} ${url}`}
      run={async () => {
        await patch(pathOf(id), { isActive: !isActive });
        toast(
          isActive
            ? "Disabled: it receives no more events"
            : "Enabled: it receives missed and new events",
        );
        refresh();
      }}
    >
      {isActive ? "Disable" : "Enable"}
    </Action>
  );
}

export function RotateSecret({ of: { id, url } }: { of: Webhook }) {
  const [made, setMade] = useState<NewWebhook>();
  return (
    <>
      <AskFirst
        verb="Rotate the secret"
        name={url}
        run={async () => setMade(await post<NewWebhook>(`${pathOf(id)}/rotate-secret`))}
      >
        It gets a new secret. For 24 hours events are also signed with the old one, so that there is
        time to change the receiver.
      </AskFirst>
      {made && (
        <SecretOnce
          title="The new secret"
          label="Secret"
          secret={made.secret}
          onClose={() => setMade(undefined)}
        />
      )}
    </>
  );
}

export function ChangeAndDelete({ of: { id, url } }: { of: Webhook }) {
  return (
    <>
      <a class="button small" href={href(["webhooks", id, "edit"])}>
        Change
      </a>
      <AskFirst
        verb="Delete"
        name={url}
        run={async () => {
          await remove(pathOf(id));
          toast("The webhook is deleted");
          go("#/webhooks");
        }}
      >
        It receives no more events, and the record of its deliveries is deleted.
      </AskFirst>
    </>
  );
}
