import { BatchCard } from "../batches/list.tsx";
import { Alerts } from "./alerts.tsx";
import { Charts } from "./charts.tsx";
import { Failures } from "./failures.tsx";
import { Flight, Models, Nodes, Upcoming } from "./panels.tsx";
import { Providers } from "./providers.tsx";
import { Tiles } from "./tiles.tsx";

export function Overview() {
  return (
    <>
      <h2 class="unseen">Now</h2>
      <Tiles />
      <Alerts />
      <BatchCard />
      <Charts />
      <div class="columns">
        <Flight />
        <Failures />
        <Models />
        <Providers />
        <Upcoming />
        <Nodes />
      </div>
    </>
  );
}
