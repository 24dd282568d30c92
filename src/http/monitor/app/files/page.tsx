import { useRef } from "preact/hooks";

import { call, download, may } from "../api/client.ts";
import type { Page, StoredFile } from "../api/wire.ts";
import { go } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { bytes } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { toast } from "../ui/toast.tsx";
import { change } from "../workbench/draft.ts";

/** Uploads. */
export function Files() {
  const cursor = useCursor();
  const chooser = useRef<HTMLInputElement>(null);
  const list = useResource<Page<"files", StoredFile>>(`/files?limit=25${cursor.query}`);
  async function upload(chosen: File | undefined): Promise<void> {
    if (!chosen) return;
    const body = new FormData();
    body.append("file", chosen, chosen.name);
    try {
      await call("POST", "/files", body);
      toast(`${chosen.name} is uploaded`);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error));
    }
    list.refresh();
  }
  return (
    <Card
      id="files"
      title="Files"
      isWide
      note={
        may("write") && (
          <>
            <input
              ref={chooser}
              type="file"
              class="unseen"
              tabindex={-1}
              aria-label="File to upload"
              onChange={(event) => void upload(event.currentTarget.files?.[0])}
            />
            <button type="button" class="small primary" onClick={() => chooser.current?.click()}>
              Upload a file
            </button>
          </>
        )
      }
    >
      <Shown of={list}>
        {({ files, pagination }) =>
          files.length === 0 ? (
            <Empty>No upload yet.</Empty>
          ) : (
            <>
              <Table
                columns={[
                  { name: "File", class: "name" },
                  { name: "Id" },
                  num("Size"),
                  { name: "Uploaded" },
                  { name: "Actions", hidden: true },
                ]}
                rows={files.map((file) => ({
                  key: file.id,
                  cells: [
                    <span dir="auto">{file.name}</span>,
                    <code>{file.id}</code>,
                    bytes(file.bytes),
                    <Time at={file.createdAt} />,
                    <div class="buttons">
                      <FileActions file={file} refresh={list.refresh} />
                    </div>,
                  ],
                }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

function FileActions({ file: { id, name }, refresh }: { file: StoredFile; refresh: () => void }) {
  const path = `/files/${encodeURIComponent(id)}`;
  return (
    <>
      <Action label={`Download ${name}`} run={() => download(`${path}/content`, name)}>
        Download
      </Action>
      {may("write") && (
        <Action
          label={`Prepare a run of ${name}`}
          run={() => {
            change({ file: { id, name }, row: 1, pilot: undefined });
            go("#/new");
          }}
        >
          Run…
        </Action>
      )}
      {may("write") && (
        <Action
          label={`Delete ${name}`}
          sure="Really?"
          run={async () => {
            await call("DELETE", path);
            toast(`${name} is deleted`);
            refresh();
          }}
        >
          Delete
        </Action>
      )}
    </>
  );
}
