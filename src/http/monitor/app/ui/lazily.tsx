import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Failed, Loading } from "./panel.tsx";

/** A component whose code is loaded when it is first shown. */
export function lazily(load: () => Promise<FunctionComponent>): FunctionComponent {
  let loaded: FunctionComponent | undefined;
  return function Lazy() {
    const [Found, setFound] = useState(() => loaded);
    const [error, setError] = useState<Error>();
    useEffect(() => {
      if (loaded) return;
      load().then(
        (component) => {
          loaded = component;
          setFound(() => component);
        },
        () =>
          setError(new Error("This part of the page could not be loaded. Load the page again.")),
      );
    }, []);
    if (Found) return <Found />;
    return error ? <Failed error={error} /> : <Loading />;
  };
}
