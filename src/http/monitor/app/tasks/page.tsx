import { route } from "../shell/router.ts";
import { NewTask } from "./new-task.tsx";
import { TaskView } from "./task.tsx";

export function Tasks() {
  const [, id] = route.value.parts;
  if (id === undefined) return <NewTask />;
  return (
    <section class="card" aria-labelledby="task-title">
      <header>
        <h2 id="task-title">Task {id}</h2>
      </header>
      <div class="panel">
        <TaskView key={id} id={id} />
      </div>
    </section>
  );
}
