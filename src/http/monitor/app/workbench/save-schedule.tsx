import { post } from "../api/client.ts";
import { ScheduleForm } from "../schedules/form.tsx";
import { go, href } from "../shell/router.ts";
import { Dialog } from "../ui/dialog.tsx";
import { draft } from "./draft.ts";

/** The same work, again and again at certain times. */
export function SaveSchedule({ config, close }: { config: object; close: () => void }) {
  const { file, name, isDryRun } = draft.value;
  return (
    <Dialog title="Save as schedule" onClose={close}>
      <ScheduleForm
        first={{ name: name || (file?.name ?? ""), inputFile: file?.id ?? "", isDryRun }}
        submitName="Create the schedule"
        onCancel={close}
        submit={async (fields) => {
          const made = await post<{ id: string }>("/scheduled-tasks", { ...fields, config });
          go(href(["schedules", made.id]));
        }}
      />
    </Dialog>
  );
}
