import { useEffect, useRef } from "preact/hooks";

import { SECTIONS } from "./sections.tsx";

const TITLE = document.title;

/** What a browser does by itself where each address is a document: a title, the top of it, and a place for the focus. */
export function useArrival(parts: string[]): void {
  const isFirst = useRef(true);
  useEffect(() => {
    const [name = "", id] = parts;
    const section = SECTIONS.find((one) => one.name === name);
    document.title = [id, section?.title, TITLE].filter(Boolean).join(" · ");
    if (!isFirst.current) {
      scrollTo(0, 0);
      // What had it may have gone with the page before.
      if (document.activeElement === document.body)
        document.getElementById("main")?.focus({ preventScroll: true });
    }
    isFirst.current = false;
    return () => void (document.title = TITLE);
  }, [parts.join("/")]);
}
