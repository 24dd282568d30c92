import { useEffect, useRef } from "preact/hooks";

import { SECTIONS } from "./sections.tsx";

const TITLE = document.title;

/** Does what a browser does for a new document: sets the title, scrolls to the top, and gives the focus a place. */
export function useArrival(parts: string[]): void {
  const isFirst = useRef(true);
  useEffect(() => {
    const [name = "", id] = parts;
    const section = SECTIONS.find((one) => one.name === name);
    document.title = [id, section?.title, TITLE].filter(Boolean).join(" · ");
    if (!isFirst.current) {
      scrollTo(0, 0);
      // The focused element may have disappeared with the previous page.
      if (document.activeElement === document.body)
        document.getElementById("main")?.focus({ preventScroll: true });
    }
    isFirst.current = false;
    return () => void (document.title = TITLE);
  }, [parts.join("/")]);
}
