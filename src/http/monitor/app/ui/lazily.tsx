import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

import { connection } from "../live/state.ts";
import { Failed, Loading } from "./panel.tsx";

const NOT_LOADED = { message: "This part of the page could not be loaded." };

/** A component whose code is loaded when it is first shown. After a failure it is loaded again on request, or when the connection is back. */
export function lazily(load: () => Promise<FunctionComponent>): FunctionComponent {
  let loaded: FunctionComponent | undefined;
  return function Lazy() {
    const [Found, setFound] = useState(() => loaded);
    const [isFailed, setFailed] = useState(false);
    const get = async () => {
      setFailed(false);
      try {
        const component = (loaded ??= await load());
        setFound(() => component);
      } catch {
        setFailed(true);
      }
    };
    const isDown = connection.value === "down";
    useEffect(() => {
      if (!loaded) void get();
    }, [isDown]);
    if (Found) return <Found />;
    return isFailed ? <Failed error={NOT_LOADED} retry={() => void get()} /> : <Loading />;
  };
}
