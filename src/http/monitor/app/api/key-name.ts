/** The name in the tab's storage. It has the path, because another server of the same origin must not get the key. */
export const keyName = (root: URL): string => `gpt-task-runner-key ${root.pathname}`;
