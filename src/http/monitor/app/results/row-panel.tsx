import { closeAbove, replaceQuery } from "../shell/router.ts";
import { TaskView } from "../tasks/task.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { exactly } from "../ui/format.ts";
import type { Source } from "./source.ts";

/** A row, opened beside the table, and the way to its neighbours. */
export function RowPanel({ id, source }: { id: string; source: Source }) {
  void source.version.value;
  const index = source.indexOf(id);
  const place = index < 0 ? undefined : source.row(index)?.position;
  const neighbour = (step: number) => (index < 0 ? undefined : source.row(index + step)?.taskId);
  const move = (step: number, name: string) => {
    const to = neighbour(step);
    return (
      <button
        type="button"
        class="small"
        aria-disabled={to === undefined ? "true" : undefined}
        onClick={() => to !== undefined && replaceQuery({ task: to })}
      >
        {name}
      </button>
    );
  };
  return (
    <Dialog
      kind="drawer"
      title={place === undefined ? id : `Row ${exactly(place + 1)}`}
      onClose={() => closeAbove({ task: undefined })}
      actions={
        <>
          {move(-1, "Previous")}
          {move(1, "Next")}
        </>
      }
    >
      <TaskView key={id} id={id} changed={() => source.renew(id)} />
    </Dialog>
  );
}
