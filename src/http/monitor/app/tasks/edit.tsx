import { useState } from "preact/hooks";

import { call, post } from "../api/client.ts";
import type { Task } from "../api/wire.ts";
import { Dialog } from "../ui/dialog.tsx";
import { TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { toast } from "../ui/toast.tsx";

/** Changes the request of a task, and runs it again. */
export function EditTask({ task, done }: { task: Task; done: () => void }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" class="small" onClick={() => setOpen(true)}>
        Edit and re-run
      </button>
      {isOpen && <EditForm task={task} done={done} close={() => setOpen(false)} />}
    </>
  );
}

function EditForm({ task, done, close }: { task: Task; done: () => void; close: () => void }) {
  const first = task.prompt ?? lastText(task);
  const system = systemText(task);
  const [prompt, setPrompt] = useState(first);
  const [instruction, setInstruction] = useState(system);
  const [model, setModel] = useState(task.model);
  return (
    <Dialog title={`Edit ${task.id}`} onClose={close}>
      <Form
        submitName="Save and run"
        onCancel={close}
        submit={async () => {
          const path = `/tasks/${encodeURIComponent(task.id)}`;
          await call("PATCH", path, {
            ...(task.messages
              ? { messages: withTexts(task.messages, prompt, instruction) }
              : { prompt }),
            ...(model === task.model ? {} : { model }),
          });
          await post(`${path}/execute`);
          toast(`${task.id}: runs again`);
          close();
          done();
        }}
      >
        {system !== "" && (
          <TextField label="System prompt" value={instruction} onInput={setInstruction} rows={3} />
        )}
        <TextField label="Prompt" value={prompt} onInput={setPrompt} rows={8} isRequired />
        <TextField label="Model" value={model} onInput={setModel} isRequired />
      </Form>
    </Dialog>
  );
}

type Message = NonNullable<Task["messages"]>[number];

const isText = (message: Message, role: string) =>
  message["role"] === role && typeof message["content"] === "string";

function lastText({ messages }: Task): string {
  return String(messages?.findLast((message) => isText(message, "user"))?.["content"] ?? "");
}

function systemText({ messages }: Task): string {
  return String(messages?.find((message) => isText(message, "system"))?.["content"] ?? "");
}

/** The messages with a new last user message and a new system prompt. */
function withTexts(messages: Message[], prompt: string, instruction: string): Message[] {
  const last = messages.findLastIndex((message) => isText(message, "user"));
  const first = messages.findIndex((message) => isText(message, "system"));
  return messages.map((message, i) => {
    if (i === last) return { ...message, content: prompt };
    return i === first ? { ...message, content: instruction } : message;
  });
}
