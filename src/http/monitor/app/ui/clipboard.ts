/**
 * Copies the text of an element. Without HTTPS, pages have no access to the clipboard, and the browser copies the selection.
 * Returns whether it worked; the text is selected in any case.
 */
export async function copyFrom(element: HTMLElement | null): Promise<boolean> {
  if (!element) return false;
  const isInput = element instanceof HTMLInputElement;
  if (isInput) element.select();
  else getSelection()?.selectAllChildren(element);
  try {
    await navigator.clipboard.writeText(isInput ? element.value : element.innerText);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
