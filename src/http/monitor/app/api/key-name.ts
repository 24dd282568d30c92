/** The name in the tab's storage. It has the path, because another server of the same origin must not get the key. */
export const keyName = (root: URL): string => `gpt-task-runner-key ${root.pathname}`;

/** The name of the draft of the workbench in the tab's storage. */
export const draftName = (root: URL): string => `gpt-task-runner-draft ${root.pathname}`;
