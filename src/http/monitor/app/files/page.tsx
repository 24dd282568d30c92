import { download, may, remove } from "../api/client.ts";
import type { Page, StoredFile } from "../api/wire.ts";
import { files as live } from "../live/state.ts";
import { go, replaceQuery, route } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { AskFirst } from "../ui/confirm.tsx";
import { SelectField } from "../ui/field.tsx";
import { bytes } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { toast } from "../ui/toast.tsx";
import { chooseUploaded } from "../workbench/choose.ts";
import { Uploads } from "./uploads.tsx";

const ORDERS = { newest: "sort=createdAt&order=desc", name: "sort=name&order=asc" };

/** The files that were uploaded. */
export function Files() {
  const order = route.value.query.get("order") === "name" ? "name" : "newest";
  const cursor = useCursor();
  const list = useResource<Page<"files", StoredFile>>(
    `/files?limit=25&${ORDERS[order]}${cursor.query}`,
    live.value?.revision,
  );
  return (
    <Card
      id="files"
      title="Files"
      isWide
      note={
        <Action run={list.refresh} label="Refresh the files">
          Refresh
        </Action>
      }
    >
      {may("write") && <Uploads done={list.refresh} />}
      <div class="filters">
        <SelectField
          label="Order"
          value={order}
          onInput={(value) =>
            replaceQuery({
              order: value === "name" ? value : undefined,
              cursor: undefined,
              page: undefined,
            })
          }
          options={[
            ["newest", "the newest first"],
            ["name", "by name"],
          ]}
        />
      </div>
      <Shown of={list}>
        {({ files, pagination }) =>
          files.length === 0 ? (
            <Empty>
              No file yet. A table can be the input of any number of batches and schedules.
            </Empty>
          ) : (
            <>
              <Table
                label="Files"
                isStacked
                columns={[
                  { name: "File", class: "name" },
                  num("Size"),
                  { name: "Uploaded" },
                  { name: "Actions", class: "act", hidden: true },
                ]}
                rows={files.map((file) => ({
                  key: file.id,
                  cells: [
                    <>
                      <span dir="auto" title={`SHA-256 ${file.sha256}`}>
                        {file.name}
                      </span>
                      <div class="hint">{file.id}</div>
                    </>,
                    bytes(file.bytes),
                    <Time at={file.createdAt} />,
                    <FileActions of={file} refresh={list.refresh} />,
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

function FileActions({ of: { id, name }, refresh }: { of: StoredFile; refresh: () => void }) {
  const path = `/files/${encodeURIComponent(id)}`;
  return (
    <div class="buttons">
      <Action label={`Download ${name}`} run={() => download(`${path}/content`, name)}>
        Download
      </Action>
      {may("write") && (
        <Action
          label={`Prepare a run of ${name}`}
          run={() => {
            chooseUploaded({ id, name });
            go("#/new");
          }}
        >
          Run…
        </Action>
      )}
      {may("write") && (
        <AskFirst
          verb="Delete"
          name={name}
          run={async () => {
            await remove(path);
            toast(`${name} is deleted`);
            refresh();
          }}
        >
          Batches that were created from it keep their rows. Schedules that read it will fail, and
          so will tasks that attach it and have not been sent yet.
        </AskFirst>
      )}
    </div>
  );
}
